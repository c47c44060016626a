"""What an error carries, and what becomes of it on the wire."""

from __future__ import annotations

import grpc
import psycopg
import pytest
from google.rpc.code_pb2 import Code as GoogleCode
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kit.rpc.reasons import PAGE_TOKEN_INVALID
from kit.rpc.status import florin_error, grpc_code, trailing_metadata
from kit.store.database import Held, Outdated, StatementRefused
from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Code, Exhausted, FieldProblem, FlorinError, NotFound


def test_our_codes_are_googles() -> None:
    assert {code.name: code.value for code in Code} == dict(GoogleCode.items())
    for cls in FlorinError.__subclasses__():
        assert grpc.StatusCode[cls.code.name].value[0] == cls.code


def test_an_error_takes_a_reason_of_its_own_class_only() -> None:
    with pytest.raises(AssertionError, match="PAGE_TOKEN_INVALID is a reason of InvalidRequest"):
        NotFound(PAGE_TOKEN_INVALID, "no such page")  # type: ignore[arg-type]  # which is the point


def test_a_class_of_its_own_keeps_the_reasons_of_its_base() -> None:
    assert Outdated("somebody else was first").reason == "CONCURRENT_CHANGE"


def test_an_error_carries_its_facts_to_grpc_and_to_http() -> None:
    error = Exhausted(
        TOO_MANY_WAITING,
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


def test_a_surprise_is_internal_and_tells_the_caller_nothing_but_whom_to_ask() -> None:
    error = florin_error(RuntimeError("secret"))
    assert (error.reason, error.http_status, error.retry_after_s) == ("INTERNAL", 500, None)
    assert grpc_code(error) is grpc.StatusCode.INTERNAL
    assert "secret" not in error.message
    assert "retry-after" not in dict(trailing_metadata(error))


def refused_statement(cause: psycopg.Error) -> Exception:
    error = StatementRefused(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "DEADLINE_EXCEEDED"),
        (grpc.RpcError(), "SERVICE_UNAVAILABLE"),
        (psycopg.OperationalError("the connection is lost"), "STORE_UNAVAILABLE"),
        (refused_statement(psycopg.errors.QueryCanceled("statement time-out")), "STORE_UNAVAILABLE"),
        (Held("canceling statement due to lock timeout"), "STORE_UNAVAILABLE"),
    ],
)
def test_what_may_go_better_in_a_moment_comes_with_advice_to_try_again(error: Exception, reason: str) -> None:
    told = florin_error(error)
    assert (told.reason, told.http_status, told.retry_after_s) == (reason, 503, 1.0)


def test_a_statement_that_no_store_could_take_is_a_mistake_of_ours() -> None:
    error = refused_statement(psycopg.errors.ProgramLimitExceeded("index row too large"))
    assert florin_error(error).reason == "INTERNAL"
