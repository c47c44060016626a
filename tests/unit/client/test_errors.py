"""Refusals of the edge as one exception, whatever shape the answer has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client import FieldProblem
from client.errors import UNREADABLE, decode_error


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def body(*details: dict[str, Any], message: str = "no") -> bytes:
    return json.dumps({"code": 3, "message": message, "details": details}).encode()


INFO = detail("ErrorInfo", reason="PRICE_CHANGED", domain="florin", metadata={"total_amount": "1490"})


def test_a_refusal_has_its_reason_message_and_facts() -> None:
    error = decode_error(400, {}, body(INFO, message="the total is 1490, not 1"))
    assert (error.http_status, error.reason) == (400, "PRICE_CHANGED")
    assert error.message == "the total is 1490, not 1"
    assert error.metadata == {"total_amount": "1490"}
    assert error.retry_after_s is None
    assert not error.is_transient


def test_every_bad_field_is_named() -> None:
    violations = [{"field": "items[0].quantity", "description": "must be at least 1", "reason": ""}]
    error = decode_error(400, {}, body(INFO, detail("BadRequest", field_violations=violations)))
    assert error.fields == (FieldProblem("items[0].quantity", "must be at least 1"),)


@pytest.mark.parametrize(
    ("headers", "details", "expected_s"),
    [
        ({"retry-after": "2"}, (INFO,), 2.0),
        ({"retry-after": "1"}, (INFO, detail("RetryInfo", retry_delay="0.250s")), 0.25),
        ({"retry-after": "Fri, 31 Jan 2025 00:00:00 GMT"}, (INFO,), None),
    ],
    ids=["header", "the exact one wins", "a date is none"],
)
def test_retry_advice_is_taken_from_where_it_is_most_exact(
    headers: dict[str, str], details: tuple[dict[str, Any], ...], expected_s: float | None
) -> None:
    error = decode_error(503, headers, body(*details))
    assert error.retry_after_s == expected_s
    assert error.is_transient is (expected_s is not None)


@pytest.mark.parametrize("answer", [b"", b"<html>Bad gateway</html>", b"[]", b'{"details": []}', b'"no"'])
def test_an_answer_of_somebody_else_is_an_error_of_its_own(answer: bytes) -> None:
    error = decode_error(502, {}, answer)
    assert (error.http_status, error.reason) == (502, UNREADABLE)
