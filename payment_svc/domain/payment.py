"""The payment: where the money is, which moves are legal, and what a PSP's word does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final

from kit.values.errors import IllegalMove
from kit.values.money import BASIS_POINTS
from kit.values.reasons import ILLEGAL_STATE
from kit.values.trail import Trail


class Status(Enum):
    """States of a payment: those of `florin.payment.v1.Payment.Status` that can be entered."""

    PROCESSING = "PROCESSING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"
    VOIDED = "VOIDED"
    UNKNOWN = "UNKNOWN"


# What a PSP that was asked may say of a payment that it had not decided before.
_DECIDED: Final = {Status.REQUIRES_ACTION, Status.AUTHORIZED, Status.CAPTURED, Status.FAILED, Status.VOIDED}

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PROCESSING: frozenset({Status.UNKNOWN, *_DECIDED}),
    # Left only by asking the PSP.
    Status.UNKNOWN: frozenset({Status.PROCESSING, *_DECIDED}),
    Status.REQUIRES_ACTION: frozenset({Status.PROCESSING, *_DECIDED} - {Status.REQUIRES_ACTION}),
    Status.AUTHORIZED: frozenset({Status.CAPTURED, Status.VOIDED}),
    Status.CAPTURED: frozenset(),
    Status.FAILED: frozenset(),
    Status.VOIDED: frozenset(),
}

# How far along a payment is. What a PSP said earlier may arrive later than what it said last; it is then
# older news and changes nothing.
_PROGRESS: Final[Mapping[Status, int]] = {
    Status.UNKNOWN: 1,
    Status.PROCESSING: 1,
    Status.REQUIRES_ACTION: 2,
    Status.AUTHORIZED: 3,
    Status.FAILED: 4,
    Status.VOIDED: 4,
    Status.CAPTURED: 4,
}


# Ends in which nobody has paid anything: the second of them is no news.
_NOTHING_TAKEN: Final = {Status.FAILED, Status.VOIDED}


class Source(Enum):
    """Where a fact about a payment comes from."""

    ANSWER = "answer"
    WEBHOOK = "webhook"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class PspFact:
    """What a PSP says of a payment, whichever way it said it.

    Attributes:
        status: what the payment is according to the PSP; UNKNOWN if a call had no answer.
        amount_captured: minor units of `currency` taken in all, as the PSP states it.
        reason: Florin's reason of a failure.
    """

    payment_id: str
    status: Status
    source: Source
    psp_reference: str = ""
    amount_captured: int = 0
    currency: str = ""
    reason: str = ""
    decline_code: str = ""
    message: str = ""
    next_action_type: str = ""
    next_action_url: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment. Amounts are in minor units; amount_refunded <= amount_captured <= amount.

    Attributes:
        attempt: number of the attempt at the PSP; part of the key that makes it happen once.
        look_ups: how often the PSP was asked what became of it.
    """

    id: str
    order_id: str
    merchant_id: str
    customer_id: str
    amount: int
    fee_amount: int
    tax_amount: int
    currency: str
    payment_method_id: str
    psp: str
    trail: Trail
    created_at: datetime
    updated_at: datetime
    status: Status = Status.PROCESSING
    amount_captured: int = 0
    amount_refunded: int = 0
    psp_reference: str = ""
    reason: str = ""
    decline_code: str = ""
    failure_message: str = ""
    next_action_type: str = ""
    next_action_url: str = ""
    attempt: int = 1
    look_ups: int = 0
    version: int = 1

    @property
    def psp_key(self) -> str:
        """The idempotency key of the current attempt: payment, operation, attempt."""
        return f"{self.id}:charge:{self.attempt}"

    def learn(self, fact: PspFact, at: datetime) -> Payment:
        """Return the payment after a fact of the PSP; the same object if the fact is no news.

        Raises:
            IllegalMove: the fact contradicts how the payment ended, states another amount, or is about
                another payment at the PSP than the one we know.
        """
        assert fact.payment_id == self.id, "a fact belongs to its payment"
        if fact.psp_reference and self.psp_reference and fact.psp_reference != self.psp_reference:
            raise IllegalMove(
                ILLEGAL_STATE,
                f"payment {self.id} is {self.psp_reference} at the PSP, not {fact.psp_reference}",
                metadata={"known": self.psp_reference, "stated": fact.psp_reference},
            )
        known = self
        if fact.psp_reference and not self.psp_reference:
            known = replace(self, psp_reference=fact.psp_reference, updated_at=at)
        if fact.status is self.status or self._is_older(fact) or {fact.status, self.status} <= _NOTHING_TAKEN:
            return known
        taken = (fact.amount_captured, fact.currency)
        if fact.status is Status.CAPTURED and taken != (self.amount, self.currency):
            raise IllegalMove(
                ILLEGAL_STATE,
                f"the PSP took {taken} for payment {self.id} of {(self.amount, self.currency)}",
                metadata={"amount": str(self.amount), "captured": str(fact.amount_captured)},
            )
        if fact.status not in TRANSITIONS[self.status]:
            raise IllegalMove(
                ILLEGAL_STATE,
                f"payment {self.id} is {self.status.value} and cannot become {fact.status.value}",
                metadata={"from": self.status.value, "to": fact.status.value},
            )
        return replace(
            known,
            status=fact.status,
            amount_captured=fact.amount_captured if fact.status is Status.CAPTURED else 0,
            reason=fact.reason,
            decline_code=fact.decline_code,
            failure_message=fact.message,
            next_action_type=fact.next_action_type,
            next_action_url=fact.next_action_url,
            version=self.version + 1,
            updated_at=at,
        )

    def _is_older(self, fact: PspFact) -> bool:
        if fact.status is Status.CAPTURED:
            return self.amount_captured > 0
        return _PROGRESS[fact.status] < _PROGRESS[self.status]


def platform_fee(amount: int, tax_amount: int, rate_bp: int) -> int:
    """Return the platform's fee in minor units: a share of the amount, rounded half up.

    Never more than what the merchant is owed, so that no share of a capture is negative.
    """
    fee = (2 * amount * rate_bp + BASIS_POINTS) // (2 * BASIS_POINTS)
    return min(fee, amount - tax_amount)
