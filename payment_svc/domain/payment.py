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
from payment_svc.domain.attempt import MAX_ATTEMPTS, Attempt, State


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
    # Money that comes after all is taken note of, so that somebody can give it back.
    Status.FAILED: frozenset({Status.CAPTURED}),
    Status.VOIDED: frozenset({Status.CAPTURED}),
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
_ENDS: Final = {Status.CAPTURED, *_NOTHING_TAKEN}

# What has become of an attempt that has made its payment so; anything else leaves it open.
_STATES: Final[Mapping[Status, State]] = {
    Status.CAPTURED: State.DONE,
    Status.FAILED: State.ENDED,
    Status.VOIDED: State.ENDED,
}


class Source(Enum):
    """Where a fact about a payment comes from."""

    ANSWER = "answer"
    WEBHOOK = "webhook"
    LOOKUP = "lookup"
    # Somebody who operates the installation has decided it.
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class PspFact:
    """What a PSP says of a payment, whichever way it said it.

    Attributes:
        status: what the payment is according to the PSP; UNKNOWN if a call had no answer.
        psp: who says it.
        attempt: number of the attempt that it is about; 0 if the PSP does not say.
        amount_captured: minor units of `currency` taken in all, as the PSP states it.
        reason: Florin's reason of a failure.
        still_payable: with FAILED: nothing is taken, but the PSP would still take it.
        key_spent: with UNKNOWN: the PSP would answer the same key with the same error of its own.
        left_nothing: with FAILED: the PSP, whose error its key repeats, has nothing of the attempt.
    """

    payment_id: str
    status: Status
    source: Source
    psp: str
    attempt: int = 0
    psp_reference: str = ""
    amount_captured: int = 0
    currency: str = ""
    reason: str = ""
    decline_code: str = ""
    message: str = ""
    next_action_type: str = ""
    next_action_url: str = ""
    still_payable: bool = False
    key_spent: bool = False
    left_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment. Amounts are in minor units; amount_refunded <= amount_captured <= amount.

    Attributes:
        attempts: all that was tried at PSPs, in order; the last is the one that counts.
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
    trail: Trail
    created_at: datetime
    updated_at: datetime
    attempts: tuple[Attempt, ...]
    status: Status = Status.PROCESSING
    amount_captured: int = 0
    amount_refunded: int = 0
    version: int = 1

    @property
    def current(self) -> Attempt:
        """The attempt that counts: those before it have ended and left nothing."""
        return self.attempts[-1]

    @property
    def has_ended(self) -> bool:
        """Whether it is decided; money that comes all the same is still taken note of."""
        return self.status in _ENDS

    def learn(self, fact: PspFact, at: datetime) -> Payment:
        """Return the payment after a fact of the PSP; the same object if the fact is no news.

        Raises:
            IllegalMove: the fact contradicts how the payment ended, states another amount, is another PSP's,
                or is about another payment at the PSP than the one we know.
        """
        assert fact.payment_id == self.id, "a fact belongs to its payment"
        self._check_origin(fact)
        if 0 < fact.attempt < self.current.number:
            return self
        known = self
        if fact.psp_reference and not self.current.psp_reference:
            known = self._with(replace(self.current, psp_reference=fact.psp_reference), at)
        if fact.key_spent:
            return known._spent(at)
        if fact.left_nothing:
            return known._without_trace(fact, at)
        if fact.still_payable:
            return known._closing(fact, at)
        if self.current.state is State.CLOSING and fact.status is not Status.CAPTURED:
            return known._closed(at) if fact.status in _NOTHING_TAKEN else known
        if fact.status is self.status or self._is_older(fact) or {fact.status, self.status} <= _NOTHING_TAKEN:
            return known
        return known._move(fact, at)

    def _check_origin(self, fact: PspFact) -> None:
        """Refuse what is said by somebody else, of something else, or too late to be right."""
        current = self.current
        if fact.psp != current.psp:
            raise IllegalMove(
                ILLEGAL_STATE,
                f"payment {self.id} is at {current.psp}, and {fact.psp} speaks of it",
                metadata={"known": current.psp, "stated": fact.psp},
            )
        if 0 < fact.attempt < current.number and fact.status is Status.CAPTURED:
            raise IllegalMove(
                ILLEGAL_STATE,
                f"attempt {fact.attempt} of payment {self.id} had left nothing, and now it took money",
                metadata={"known": str(current.number), "stated": str(fact.attempt)},
            )
        if current.psp_reference and fact.psp_reference not in ("", current.psp_reference):
            raise IllegalMove(
                ILLEGAL_STATE,
                f"payment {self.id} is {current.psp_reference} at the PSP, not {fact.psp_reference}",
                metadata={"known": current.psp_reference, "stated": fact.psp_reference},
            )

    def _move(self, fact: PspFact, at: datetime) -> Payment:
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
        said = replace(
            self.current,
            state=_STATES.get(fact.status, State.OPEN),
            reason=fact.reason,
            decline_code=fact.decline_code,
            message=fact.message,
            next_action_type=fact.next_action_type,
            next_action_url=fact.next_action_url,
        )
        captured = fact.amount_captured if fact.status is Status.CAPTURED else 0
        return replace(self._with(said, at, fact.status), amount_captured=captured)

    def _closing(self, fact: PspFact, at: datetime) -> Payment:
        """Note why it fails; it has failed only once nobody can pay it any more."""
        if self.current.state not in (State.OPEN, State.SPENT) or self.status is Status.AUTHORIZED:
            return self
        said = replace(
            self.current,
            state=State.CLOSING,
            reason=fact.reason,
            decline_code=fact.decline_code,
            message=fact.message,
            next_action_type="",
            next_action_url="",
        )
        return self._with(said, at, Status.PROCESSING)

    def _closed(self, at: datetime) -> Payment:
        """End what was being closed, for the reason that was noted."""
        over = self.current.ended(self.current.reason)
        return self._with(over, at, self.status if self.has_ended else Status.FAILED)

    def _spent(self, at: datetime) -> Payment:
        """Give the key up, unless more is known meanwhile than that its call broke."""
        if self.current.state is not State.OPEN or self.current.psp_reference:
            return self
        return self._with(replace(self.current, state=State.SPENT), at, Status.UNKNOWN)

    def _without_trace(self, fact: PspFact, at: datetime) -> Payment:
        """Begin another attempt, with a key of its own, after one that has left nothing; in the end, fail.

        What was looked up late is outdated, if more is known meanwhile than that the key is spent.
        """
        if self.current.state is not State.SPENT or self.current.psp_reference:
            return self
        if self.current.number == MAX_ATTEMPTS:
            return self._move(fact, at)
        over = self._with(self.current.ended(fact.reason), at, Status.PROCESSING)
        return replace(over, attempts=(*over.attempts, over.current.after_it(at)))

    def _with(self, attempt: Attempt, at: datetime, status: Status | None = None) -> Payment:
        """Return it with its current attempt as it is now, in a state that follows from it."""
        status = status or self.status
        return replace(
            self,
            attempts=(*self.attempts[:-1], attempt),
            status=status,
            version=self.version + (status is not self.status),
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
