"""The one place where an error becomes a gRPC status and, through the edge, an HTTP answer."""

from __future__ import annotations

import math

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kit.rpc.reasons import DEADLINE_EXCEEDED
from kit.store.database import STORE_UNAVAILABLE, Held, StatementRefused, store_unavailable
from kit.values.errors import FlorinError, Internal, Unavailable
from kit.values.reasons import INTERNAL, SERVICE_UNAVAILABLE
from kit.values.redaction import redact

DOMAIN = "florin"


def status_of(error: FlorinError) -> Status:
    """Return the `google.rpc.Status` of an error; ErrorInfo always, more where it applies."""
    status = Status(code=error.code, message=redact(error.message))
    details: list[ErrorInfo | BadRequest | RetryInfo] = [
        ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={name: redact(value) for name, value in error.metadata.items()},
        )
    ]
    if error.fields:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=f.field, description=redact(f.problem))
                    for f in error.fields
                ]
            )
        )
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        details.append(RetryInfo(retry_delay=delay))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def trailing_metadata(error: FlorinError) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata that carries an error: details for gRPC, status and retry advice for HTTP."""
    metadata: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status_of(error).SerializeToString()),
        ("x-http-status", str(error.http_status)),
    ]
    if error.retry_after_s is not None:
        metadata.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    return tuple(metadata)


def grpc_code(error: FlorinError) -> grpc.StatusCode:
    """Return the code of an error as gRPC has it."""
    return grpc.StatusCode[error.code.name]


def florin_error(error: Exception) -> FlorinError:
    """Return what the caller is told of an exception; one that nobody expected is a mistake of ours."""
    if isinstance(error, FlorinError):
        return error
    if isinstance(error, TimeoutError):
        return Unavailable(
            DEADLINE_EXCEEDED,
            "there was no answer in time; send the request again with the same key",
            retry_after_s=1.0,
        )
    if isinstance(error, grpc.RpcError):
        return Unavailable(
            SERVICE_UNAVAILABLE,
            "another part of Florin does not answer; send the request again with the same key",
            retry_after_s=1.0,
        )
    if isinstance(error, STORE_UNAVAILABLE):
        return store_unavailable()
    if isinstance(error, Held) or (isinstance(error, StatementRefused) and error.took_too_long):
        return store_unavailable("the database took too long; send the request again with the same key")
    return Internal(INTERNAL, "something went wrong on our side; report the correlation id of this answer")
