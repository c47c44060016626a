"""The rows the simulator remembers: what varies between two objects, and nothing else.

`rendering` turns a row into Stripe's JSON. Rows are frozen: a change is a new row in its place.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from psp_sim.webhooks import Manner

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
]
ChargeStatus = Literal["succeeded", "pending", "failed"]
RefundStatus = Literal["pending", "succeeded", "failed"]
DisputeStatus = Literal["needs_response", "under_review", "won", "lost"]


@dataclass(frozen=True, slots=True)
class PaymentIntent:
    """One attempt to collect a payment, through all of its charges."""

    KIND: ClassVar = "payment_intent"

    id: str
    created: int
    amount: int
    currency: str
    status: IntentStatus
    capture_method: str
    client_secret: str
    metadata: dict[str, str]
    # Fields that Stripe only stores and shows, by their names.
    echoed: dict[str, Any]
    customer: str | None = None
    description: str | None = None
    receipt_email: str | None = None
    payment_method: str | None = None
    return_url: str | None = None
    latest_charge: str | None = None
    amount_capturable: int = 0
    amount_received: int = 0
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    last_payment_error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One try of one payment method: authorised, captured, or failed."""

    KIND: ClassVar = "charge"

    id: str
    created: int
    amount: int
    currency: str
    status: ChargeStatus
    payment_intent: str
    payment_method: str
    metadata: dict[str, str]
    customer: str | None = None
    description: str | None = None
    receipt_email: str | None = None
    captured: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    balance_transaction: str | None = None
    authenticated: bool = False
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back to the buyer."""

    KIND: ClassVar = "refund"

    id: str
    created: int
    amount: int
    currency: str
    status: RefundStatus
    charge: str
    payment_intent: str
    metadata: dict[str, str]
    reason: str | None = None
    balance_transaction: str | None = None
    failure_reason: str | None = None
    failure_balance_transaction: str | None = None
    # Unix milliseconds at which a refund that changes its mind does so.
    settles_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """A buyer's bank takes the money back and asks for evidence."""

    KIND: ClassVar = "dispute"

    id: str
    created: int
    amount: int
    currency: str
    status: DisputeStatus
    charge: str
    payment_intent: str
    payment_method: str
    balance_transactions: list[str]
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """One movement of the balance at the provider, with the provider's fee."""

    KIND: ClassVar = "balance_transaction"

    id: str
    created: int
    amount: int
    fee: int
    currency: str
    type: str
    reporting_category: str
    source: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an object, with the object's JSON as it was then."""

    KIND: ClassVar = "event"

    id: str
    created: int
    type: str
    body: bytes
    request_id: str | None
    idempotency_key: str | None
    # False once it was delivered, or if it never will be.
    awaits_delivery: bool = True
    manner: Manner = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The stored answer to an idempotency key."""

    KIND: ClassVar = "answer"

    # The idempotency key.
    id: str
    created: int
    fingerprint: str
    status: int
    body: bytes
    request_id: str


# What has an endpoint of its own.
Resource = PaymentIntent | Charge | Refund | Dispute | BalanceTransaction | Event
R = TypeVar("R", bound=Resource)

Row = Resource | Answer
