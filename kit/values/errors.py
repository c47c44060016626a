"""One tree of errors, each with a reason that programs can rely on and a message that people can act on.

Raised in domain and application code; `kit.rpc.status` is the one place that turns them into gRPC and HTTP.
What the edge refuses by itself is in the same catalogue. `docs/reference/errors.md` is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from grpc import StatusCode


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of a request and what is wrong with it."""

    field: str
    problem: str


class FlorinError(Exception):
    """A refusal with a reason. Unless it says otherwise, nothing has happened.

    Attributes:
        reason: word in capitals from `REASONS`; stable, made for programs.
        message: one or two sentences that name the problem and the way out; never holds a secret.
        metadata: further facts as text.
        retry_after_s: when a retry makes sense, in seconds; None if it makes none.
        fields: problems of single fields.
    """

    code: ClassVar[StatusCode]
    http_status: ClassVar[int]

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        fields: tuple[FieldProblem, ...] = (),
    ) -> None:
        assert reason in REASONS, f"{reason} is missing in REASONS"
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.fields = fields


class InvalidRequest(FlorinError):
    """The request is malformed, or contradicts what the server knows."""

    code = StatusCode.INVALID_ARGUMENT
    http_status = 400


class Unauthenticated(FlorinError):
    """Nobody knows who is calling."""

    code = StatusCode.UNAUTHENTICATED
    http_status = 401


class Declined(FlorinError):
    """The PSP refused to take the money."""

    code = StatusCode.FAILED_PRECONDITION
    http_status = 402


class PermissionDenied(FlorinError):
    """The caller is known and may not do this."""

    code = StatusCode.PERMISSION_DENIED
    http_status = 403


class NotFound(FlorinError):
    """It does not exist, or it is not the caller's: both look the same from outside."""

    code = StatusCode.NOT_FOUND
    http_status = 404


class Conflict(FlorinError):
    """Something else is happening to the same thing."""

    code = StatusCode.ABORTED
    http_status = 409


class IllegalMove(FlorinError):
    """The thing is not in a state that allows this."""

    code = StatusCode.FAILED_PRECONDITION
    http_status = 409


class KeyReused(FlorinError):
    """The idempotency key belongs to another request."""

    code = StatusCode.ALREADY_EXISTS
    http_status = 422


class Exhausted(FlorinError):
    """Too much was asked for."""

    code = StatusCode.RESOURCE_EXHAUSTED
    http_status = 429


class Unavailable(FlorinError):
    """Florin, or something it needs, cannot answer now."""

    code = StatusCode.UNAVAILABLE
    http_status = 503


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """How the edge refuses by itself, where no service had a say.

    Attributes:
        over_grpc: another code for gRPC callers.
    """

    code: StatusCode
    http_statuses: tuple[int, ...]
    over_grpc: StatusCode | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means, for the catalogue, and who answers it: a service, or only the edge."""

    error: type[FlorinError] | EdgeAnswer
    when: str
    way_out: str

    @property
    def code(self) -> StatusCode:
        """The gRPC code that every answer with this reason has."""
        return self.error.code

    @property
    def http_statuses(self) -> tuple[int, ...]:
        """The HTTP statuses that an answer with this reason may have."""
        if isinstance(self.error, EdgeAnswer):
            return self.error.http_statuses
        return (self.error.http_status,)


REASONS: Final[dict[str, Meaning]] = {
    "FIELD_INVALID": Meaning(
        InvalidRequest,
        "A field is missing or breaks a rule; `BadRequest` names each.",
        "Correct the fields and send the request again, with the same key if you like.",
    ),
    "IDEMPOTENCY_KEY_MISSING": Meaning(
        InvalidRequest,
        "A request that changes something came without an idempotency key.",
        "Send the header `Idempotency-Key` (or `request_id`): 1 to 255 printable ASCII characters.",
    ),
    "IDEMPOTENCY_KEY_INVALID": Meaning(
        InvalidRequest,
        "The idempotency key is longer than 255 characters or not printable ASCII.",
        "Use a UUID.",
    ),
    "UNKNOWN_PRODUCT": Meaning(
        InvalidRequest,
        "The merchant does not sell one of the products.",
        "Take the sku from the merchant's catalogue.",
    ),
    "CURRENCY_MISMATCH": Meaning(
        InvalidRequest,
        "A product is not sold in the currency of the checkout, or the currency is not one of ISO 4217.",
        "Use the product's own currency.",
    ),
    "PRICE_CHANGED": Meaning(
        InvalidRequest,
        "`expected_total_amount` is not what the server computes; the metadata has both.",
        "Show the new total to the buyer and ask again.",
    ),
    "AMOUNT_OUT_OF_RANGE": Meaning(
        InvalidRequest,
        "The total is above the limit of one payment (99,999,999 minor units).",
        "Split the purchase.",
    ),
    "CAPTURE_METHOD_UNSUPPORTED": Meaning(
        InvalidRequest,
        "`MANUAL` capture is not offered for checkouts.",
        "Leave `capture_method` out, or send `AUTOMATIC`.",
    ),
    "PAGE_TOKEN_INVALID": Meaning(
        InvalidRequest,
        "The page token is not one of ours, or was made for other filters.",
        "Start again without a page token.",
    ),
    "CARD_NUMBER_REFUSED": Meaning(
        InvalidRequest,
        "A field holds something that looks like a card number.",
        "Send the PSP's token of the payment method; never card data.",
    ),
    "WEBHOOK_SIGNATURE_INVALID": Meaning(
        InvalidRequest,
        "The webhook's signature is missing, wrong or too old, or its body is no event.",
        "Check the signing secret; real senders try again by themselves.",
    ),
    "UNAUTHENTICATED": Meaning(
        Unauthenticated,
        "There is no valid token.",
        "Send `Authorization: Bearer …`; `florin token` makes one.",
    ),
    "ROLE_NOT_ALLOWED": Meaning(
        PermissionDenied,
        "The token's role may not call this.",
        "Use a token of one of the roles in the metadata.",
    ),
    "NOT_YOURS": Meaning(
        PermissionDenied,
        "The token's merchant is missing or another one.",
        "Use a token that names the merchant.",
    ),
    "ORDER_NOT_FOUND": Meaning(NotFound, "No order of yours has this id.", "Check the id."),
    "PAYMENT_NOT_FOUND": Meaning(NotFound, "No payment of yours has this id.", "Check the id."),
    "PRODUCT_NOT_FOUND": Meaning(NotFound, "The merchant has no such product.", "Check the sku."),
    "ACCOUNT_NOT_FOUND": Meaning(
        NotFound, "Nothing was ever posted to this account.", "Check the account code."
    ),
    "CARD_DECLINED": Meaning(
        Declined,
        "Kept for direct payments: the PSP refused; `decline_code` in the metadata says why. An order whose"
        " card is declined ends in `FAILED` instead.",
        "Ask the buyer for another payment method.",
    ),
    "REQUEST_IN_PROGRESS": Meaning(
        Conflict,
        "A request with the same idempotency key is still running.",
        "Send it again after the time in `RetryInfo`; the answer will be the first one's.",
    ),
    "CONCURRENT_CHANGE": Meaning(
        Conflict,
        "Too many others changed the same thing at the same time.",
        "Send it again after the time in `RetryInfo`.",
    ),
    "ILLEGAL_STATE": Meaning(
        IllegalMove,
        "The thing is in a state that does not allow this; the metadata has both states.",
        "Read it again and decide anew.",
    ),
    "STOCK_TOO_LOW": Meaning(
        IllegalMove,
        "Fewer units are free than are to be removed.",
        "Remove fewer; reserved units cannot be removed.",
    ),
    "IDEMPOTENCY_KEY_REUSED": Meaning(
        KeyReused,
        "The same idempotency key was used with another body.",
        "Use a new key for a new request.",
    ),
    "TOO_MANY_WAITING": Meaning(
        Exhausted,
        "More requests are waiting than can be answered soon.",
        "Send it again, with the same key, after the time in `RetryInfo`.",
    ),
    "TOO_MANY_OPEN_ORDERS": Meaning(
        Unavailable,
        "More orders are open than can be finished soon; accepting more would break a promise.",
        "Send it again, with the same key, after the time in `RetryInfo`.",
    ),
    "STORE_UNAVAILABLE": Meaning(
        Unavailable,
        "The database does not answer; nothing is accepted without it.",
        "Send it again, with the same key, after the time in `RetryInfo`.",
    ),
    "POSTING_HALTED": Meaning(
        Unavailable,
        "The books do not sum to zero, so nothing is posted; reads go on.",
        "Find out what happened (`florin prove`), then lift the halt.",
    ),
    "SERVICE_UNAVAILABLE": Meaning(
        Unavailable,
        "Another part of Florin does not answer.",
        "Send it again, with the same key, after the time in `RetryInfo`.",
    ),
    "PSP_UNAVAILABLE": Meaning(
        Unavailable,
        "Kept for direct payments: the PSP does not answer; the outcome is looked up, never assumed.",
        "Read the payment again later.",
    ),
    "DEADLINE_EXCEEDED": Meaning(
        Unavailable,
        "The caller's time was up before there was an answer; the request may still take effect.",
        "Send it again with the same key: it has effect once.",
    ),
    "REQUEST_MALFORMED": Meaning(
        EdgeAnswer(StatusCode.INVALID_ARGUMENT, (400, 415)),
        "No JSON, a value of a wrong type, an unknown query parameter, an ambiguous path or header.",
        "The message says what was not understood; correct it.",
    ),
    "ROUTE_NOT_FOUND": Meaning(
        EdgeAnswer(StatusCode.NOT_FOUND, (404,), over_grpc=StatusCode.UNIMPLEMENTED),
        "There is no such method and path. Internal RPCs look the same from outside.",
        "See the API reference.",
    ),
    "REQUEST_TIMEOUT": Meaning(
        EdgeAnswer(StatusCode.DEADLINE_EXCEEDED, (408,)),
        "The request did not arrive in time.",
        "Send it again, all of it within 30 seconds.",
    ),
    "REQUEST_TOO_LARGE": Meaning(
        EdgeAnswer(StatusCode.INVALID_ARGUMENT, (413, 431)),
        "The body is above 256 KiB, or the headers are above 32 KiB.",
        "Send less.",
    ),
    "RATE_LIMITED": Meaning(
        EdgeAnswer(StatusCode.RESOURCE_EXHAUSTED, (429,)),
        "The edge was asked too much at once.",
        "Send it again, with the same key, after the seconds in `retry-after`.",
    ),
    "SERVICE_TIMEOUT": Meaning(
        EdgeAnswer(StatusCode.DEADLINE_EXCEEDED, (504,)),
        "The service behind the edge did not answer in time; the request may still take effect.",
        "Send it again with the same key: it has effect once.",
    ),
    "INTERNAL": Meaning(
        EdgeAnswer(StatusCode.INTERNAL, (500,)),
        "The edge itself failed.",
        "Report the request id.",
    ),
}
