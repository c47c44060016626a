"""Reasons for which the edge refuses by itself, where no service had a say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kit.values.errors import Code


@dataclass(frozen=True, slots=True)
class EdgeReason:
    """Why the edge refuses; beside the services' reasons in the catalogue.

    Attributes:
        http_statuses: more than one where Envoy tells cases apart that are one to callers.
        over_grpc: another code for gRPC callers.
    """

    name: str
    code: Code
    http_statuses: tuple[int, ...]
    when: str
    way_out: str
    over_grpc: Code | None = None


REQUEST_MALFORMED: Final = EdgeReason(
    "REQUEST_MALFORMED",
    Code.INVALID_ARGUMENT,
    (400, 415),
    "No JSON, a value of a wrong type, an unknown query parameter, an ambiguous path or header.",
    "The message says what was not understood; correct it.",
)

ROUTE_NOT_FOUND: Final = EdgeReason(
    "ROUTE_NOT_FOUND",
    Code.NOT_FOUND,
    (404,),
    "There is no such method and path. Internal RPCs look the same from outside.",
    "See the API reference.",
    over_grpc=Code.UNIMPLEMENTED,
)

REQUEST_TIMEOUT: Final = EdgeReason(
    "REQUEST_TIMEOUT",
    Code.DEADLINE_EXCEEDED,
    (408,),
    "The request did not arrive in time.",
    "Send it again, all of it within 30 seconds.",
)

REQUEST_TOO_LARGE: Final = EdgeReason(
    "REQUEST_TOO_LARGE",
    Code.INVALID_ARGUMENT,
    (413, 431),
    "The body is above 256 KiB, or the headers are above 32 KiB.",
    "Send less.",
)

RATE_LIMITED: Final = EdgeReason(
    "RATE_LIMITED",
    Code.RESOURCE_EXHAUSTED,
    (429,),
    "The edge was asked too much at once.",
    "Send it again, with the same key, after the seconds in `retry-after`.",
)

SERVICE_TIMEOUT: Final = EdgeReason(
    "SERVICE_TIMEOUT",
    Code.DEADLINE_EXCEEDED,
    (504,),
    "The service behind the edge did not answer in time; the request may still take effect.",
    "Send it again with the same key: it has effect once.",
)

REASONS: Final = (
    REQUEST_MALFORMED,
    ROUTE_NOT_FOUND,
    REQUEST_TIMEOUT,
    REQUEST_TOO_LARGE,
    RATE_LIMITED,
    SERVICE_TIMEOUT,
)
