"""One tree of errors, each with a reason that programs can rely on and a message that people can act on.

Raised in domain and application code; `kit.rpc.status` is the one place that turns them into gRPC and HTTP.

A reason stands in the `reasons.py` of whoever raises it; one that several raise, in the lowest place that all
of them may import. `docs/reference/errors.md` is made from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Generic, Self, TypeVar


class Code(IntEnum):
    """Names and numbers of `google.rpc.Code`, without gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request and what is wrong with it."""

    field: str
    problem: str


class FlorinError(Exception):
    """A refusal with a reason. Unless it says otherwise, nothing has happened.

    Attributes:
        reason: the reason's name; stable, made for programs.
        message: one or two sentences that name the problem and the way out; never holds a secret.
        metadata: further facts as text.
        retry_after_s: when a retry makes sense, in seconds; None if it makes none.
        fields: problems of single fields.
    """

    code: ClassVar[Code]
    http_status: ClassVar[int]

    def __init__(
        self,
        reason: Reason[Self],
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        fields: tuple[FieldProblem, ...] = (),
    ) -> None:
        assert isinstance(self, reason.error), f"{reason.name} is a reason of {reason.error.__name__}"
        super().__init__(message)
        self.reason = reason.name
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.fields = fields


# Contravariant: the reason of a class is one of its subclasses, too.
E = TypeVar("E", bound=FlorinError, contravariant=True)


@dataclass(frozen=True, slots=True)
class Reason(Generic[E]):
    """Why something is refused, for programs, and what the catalogue tells people of it.

    Attributes:
        name: word in capitals; stable.
        error: the class that is raised with it.
        when: when it happens, in whole sentences.
        way_out: what the caller can do.
    """

    name: str
    error: type[E]
    when: str
    way_out: str

    @property
    def code(self) -> Code:
        """The gRPC code that every answer with this reason has."""
        return self.error.code

    @property
    def http_statuses(self) -> tuple[int, ...]:
        """The HTTP statuses that an answer with this reason may have."""
        return (self.error.http_status,)


class InvalidRequest(FlorinError):
    """The request is malformed, or contradicts what the server knows."""

    code = Code.INVALID_ARGUMENT
    http_status = 400


class Unauthenticated(FlorinError):
    """Nobody knows who is calling."""

    code = Code.UNAUTHENTICATED
    http_status = 401


class Declined(FlorinError):
    """Somebody whose consent is needed said no."""

    code = Code.FAILED_PRECONDITION
    http_status = 402


class PermissionDenied(FlorinError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED
    http_status = 403


class NotFound(FlorinError):
    """It does not exist, or it is not the caller's: both look the same from outside."""

    code = Code.NOT_FOUND
    http_status = 404


class Conflict(FlorinError):
    """Something else is happening to the same thing."""

    code = Code.ABORTED
    http_status = 409


class IllegalMove(FlorinError):
    """The thing is not in a state that allows this."""

    code = Code.FAILED_PRECONDITION
    http_status = 409


class KeyReused(FlorinError):
    """The idempotency key belongs to another request."""

    code = Code.ALREADY_EXISTS
    http_status = 422


class Exhausted(FlorinError):
    """Too much was asked for."""

    code = Code.RESOURCE_EXHAUSTED
    http_status = 429


class Internal(FlorinError):
    """Something nobody expected: a mistake of ours, which another try would only repeat."""

    code = Code.INTERNAL
    http_status = 500


class Unavailable(FlorinError):
    """Florin, or something it needs, cannot answer now."""

    code = Code.UNAVAILABLE
    http_status = 503
