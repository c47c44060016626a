"""Every refusal has a reason from the catalogue, and the class that the catalogue names for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kit.rpc.status import florin_error, status_of, trailing_metadata
from kit.values import errors
from kit.values.errors import REASONS, EdgeAnswer, Exhausted, FieldProblem, FlorinError, InvalidRequest
from roster import ROSTER

ROOT = Path(__file__).parents[3]
PACKAGES = ("kit", *ROSTER.packages)
CLASSES = {cls.__name__ for cls in FlorinError.__subclasses__() if cls.__module__ == errors.__name__}


class Refusal(NamedTuple):
    """A place in the code that refuses."""

    place: str
    error: str
    reason: str


def refusals() -> Iterator[Refusal]:
    """Yield each call of an error class with a constant reason, in all services."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(reason)), *_]):
                        if name in CLASSES:
                            yield Refusal(f"{path.relative_to(ROOT)}:{node.lineno}", name, reason)


def test_every_refusal_in_the_code_uses_the_class_that_its_reason_names() -> None:
    found = list(refusals())
    assert len(found) > 20
    expected = {reason: getattr(meaning.error, "__name__", "the edge") for reason, meaning in REASONS.items()}
    assert [refusal for refusal in found if expected.get(refusal.reason) != refusal.error] == []


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_says_when_it_happens_and_what_to_do(reason: str) -> None:
    meaning = REASONS[reason]
    assert reason == reason.upper()
    assert meaning.when.endswith(".")
    assert meaning.way_out.endswith(".")
    if not isinstance(meaning.error, EdgeAnswer):
        error = meaning.error(reason, "a message")
        assert ErrorInfo.FromString(status_of(error).details[0].value).reason == reason


def test_a_reason_that_is_not_in_the_catalogue_cannot_be_raised() -> None:
    with pytest.raises(AssertionError, match="REASONS"):
        InvalidRequest("NO_SUCH_REASON", "x")


def test_an_error_carries_its_facts_to_grpc_and_to_http() -> None:
    error = Exhausted(
        "TOO_MANY_WAITING",
        "come back; your card 4242424242424242 was not charged",
        metadata={"limit": "5"},
        retry_after_s=1.5,
        fields=(FieldProblem("items[2].quantity", "must be positive"),),
    )
    metadata = dict(trailing_metadata(error))
    assert metadata["x-http-status"] == "429"
    assert metadata["retry-after"] == "2", "whole seconds, never too early"
    details = metadata["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = Status.FromString(details)
    assert "4242424242424242" not in status.message
    info, request, retry = status.details
    assert dict(ErrorInfo.FromString(info.value).metadata) == {"limit": "5"}
    assert BadRequest.FromString(request.value).field_violations[0].field == "items[2].quantity"
    assert RetryInfo.FromString(retry.value).retry_delay.ToMilliseconds() == 1_500


def test_a_surprise_tells_the_caller_nothing_but_to_try_again() -> None:
    error = florin_error(RuntimeError("secret"))
    assert (error.reason, error.retry_after_s) == ("SERVICE_UNAVAILABLE", 1.0)
    assert "secret" not in error.message
    assert florin_error(TimeoutError()).reason == "DEADLINE_EXCEEDED"
