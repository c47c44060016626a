"""Errors that the edge itself answers, in the shape of everyone's: `google.rpc.Status` as JSON.

gRPC callers have the same code and message in `grpc-status` and `grpc-message`, made by Envoy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edge.reasons import (
    RATE_LIMITED,
    REQUEST_MALFORMED,
    REQUEST_TIMEOUT,
    REQUEST_TOO_LARGE,
    ROUTE_NOT_FOUND,
    SERVICE_TIMEOUT,
    EdgeReason,
)
from kit.values.errors import Reason
from kit.values.reasons import INTERNAL, SERVICE_UNAVAILABLE, UNAUTHENTICATED

Json = dict[str, Any]

# What Envoy or one of its filters says; often the only one who knows what was wrong.
ENVOYS_WORDS: Final = "%LOCAL_REPLY_BODY%"

# A killed service is back within seconds. It may have done what was asked before it died.
TRY_AGAIN: Final = "the service is restarting or overloaded; repeat with the same idempotency key"


@dataclass(frozen=True, slots=True)
class EdgeError:
    """One answer of the edge, for a reason of its own or for one that it shares with the services.

    `status` is what Envoy would answer, `answer_status` what callers get instead.
    """

    status: int
    reason: EdgeReason | Reason[Any]
    message: str
    answer_status: int | None = None
    retry_after_s: int | None = None

    def __post_init__(self) -> None:
        assert self.answered in self.reason.http_statuses, f"{self.answered} is no {self.reason.name}"

    @property
    def answered(self) -> int:
        """The HTTP status that callers get."""
        return self.answer_status or self.status

    @property
    def code(self) -> int:
        """The gRPC code in the body of a REST answer."""
        return int(self.reason.code)

    @property
    def code_over_grpc(self) -> int:
        """The gRPC code that gRPC callers get."""
        if isinstance(self.reason, EdgeReason) and self.reason.over_grpc is not None:
            return int(self.reason.over_grpc)
        return self.code


# By status, because that is all that Envoy's filters have in common.
EDGE_ERRORS: Final = (
    EdgeError(400, REQUEST_MALFORMED, f"the request is malformed: {ENVOYS_WORDS}"),
    EdgeError(401, UNAUTHENTICATED, f"send a valid bearer token: {ENVOYS_WORDS}"),
    # jwt_authn tells a token made for somebody else from an invalid one; to us both are none.
    EdgeError(403, UNAUTHENTICATED, f"send a token made for florin-edge: {ENVOYS_WORDS}", answer_status=401),
    EdgeError(404, ROUTE_NOT_FOUND, ENVOYS_WORDS),
    EdgeError(408, REQUEST_TIMEOUT, "the request did not arrive in time"),
    EdgeError(413, REQUEST_TOO_LARGE, "the body may have up to {max_request_bytes} bytes"),
    EdgeError(415, REQUEST_MALFORMED, f"the request is malformed: {ENVOYS_WORDS}"),
    EdgeError(431, REQUEST_TOO_LARGE, "the headers may have up to 32 KiB"),
    EdgeError(429, RATE_LIMITED, "too many requests; try again later", retry_after_s=1),
    EdgeError(500, INTERNAL, "the edge failed; report the request id"),
    # A connection that broke in the middle of an answer is to callers what a refused one is.
    EdgeError(502, SERVICE_UNAVAILABLE, TRY_AGAIN, answer_status=503, retry_after_s=1),
    EdgeError(503, SERVICE_UNAVAILABLE, TRY_AGAIN, retry_after_s=1),
    EdgeError(
        504,
        SERVICE_TIMEOUT,
        "no answer in time, so the outcome is unknown; repeat with the same idempotency key",
        retry_after_s=1,
    ),
)


def local_reply_config(max_request_bytes: int) -> Json:
    """Envoy's `local_reply_config`: by status, first for REST callers, then for gRPC callers."""
    messages = {error: error.message.format(max_request_bytes=max_request_bytes) for error in EDGE_ERRORS}
    rest = [_rest_mapper(error, message) for error, message in messages.items()]
    grpc = [_grpc_mapper(error, message) for error, message in messages.items()]
    return {"mappers": [*rest, *grpc]}


def _rest_mapper(error: EdgeError, message: str) -> Json:
    body: Json = {
        "code": error.code,
        "message": message,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.reason.name,
                "domain": "florin",
                "metadata": {},
            }
        ],
    }
    return {
        "filter": {"and_filter": {"filters": [_status_is(error.status), _IS_REST]}},
        "status_code": error.answered,
        "body_format_override": {"json_format": body, "content_type": "application/json"},
        "headers_to_add": _retry_after(error),
    }


def _grpc_mapper(error: EdgeError, message: str) -> Json:
    # Envoy would choose the code by the status, which gives UNKNOWN or UNAVAILABLE for half of
    # these.
    code = _header("grpc-status", error.code_over_grpc)
    return {
        "filter": _status_is(error.status),
        "status_code": error.answered,
        "body_format_override": {"text_format_source": {"inline_string": message}},
        "headers_to_add": [code, *_retry_after(error)],
    }


def _retry_after(error: EdgeError) -> list[Json]:
    return [_header("retry-after", error.retry_after_s)] if error.retry_after_s else []


def _header(key: str, value: int) -> Json:
    return {
        "header": {"key": key, "value": str(value)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _status_is(status: int) -> Json:
    # Access-log filters compare with a number that operators could change at run time; nobody sets
    # this key.
    value = {"default_value": status, "runtime_key": "florin.unset"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


# By the time a request is answered the transcoder may have turned it into gRPC; it notes the path
# it had.
_IS_REST: Final[Json] = {
    "or_filter": {
        "filters": [
            {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}},
            {
                "header_filter": {
                    "header": {
                        "name": "content-type",
                        "string_match": {"prefix": "application/grpc"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                }
            },
        ]
    }
}
