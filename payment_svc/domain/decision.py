"""What a person settles in place of a PSP, and when that may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from payment_svc.domain.attempt import Attempt, State
from payment_svc.domain.payment import Payment, PspFact, Source, Status


@dataclass(frozen=True, slots=True)
class PspWord:
    """What a PSP says when it is asked before a person decides.

    Attributes:
        heard: whether it could be asked and gave an answer.
        fact: what it says; None if it knows nothing of the payment.
        about: the attempt that it was asked about, as it was then.
        key_lives: whether the PSP may still take the money by a call under the attempt's key.
    """

    heard: bool
    fact: PspFact | None = None
    about: Attempt | None = None
    key_lives: bool = False

    def __str__(self) -> str:
        """What it says, in one word or two."""
        if not self.heard:
            return "no answer"
        if self.fact is None:
            return "never heard of it"
        return "still payable" if self.fact.still_payable else self.fact.status.value

    def is_of(self, payment: Payment) -> bool:
        """Whether what was asked about is still all that is known of a payment."""
        return self.about is not None and _known(self.about) == _known(payment.current)


@dataclass(frozen=True, slots=True)
class DecidePayment:
    """A person decides.

    Attributes:
        outcome: CAPTURED or FAILED.
        decided_by: role and subject.
        psp_reference: the PSP's id of the payment, if it is captured and we do not know it.
        against_psp: whether to decide although the PSP says otherwise.
    """

    payment_id: str
    outcome: Status
    reason: str
    decided_by: str
    psp_reference: str
    against_psp: bool
    word: PspWord

    def objection(self, payment: Payment) -> str:
        """Return what speaks against it, if the PSP is believed; empty if nothing does."""
        if not self.word.is_of(payment):
            return "the payment has moved since it was asked"
        fact = self.word.fact
        if self.outcome is Status.CAPTURED:
            if not self.word.heard:
                return ""
            if fact is None or fact.status is not Status.CAPTURED:
                return "it has not taken the money"
            if (fact.amount_captured, fact.currency) != (payment.amount, payment.currency):
                return f"it has taken {fact.amount_captured} {fact.currency}"
            return ""
        if fact is None:
            return "it may still take the money, by a call of ours" if self.word.key_lives else ""
        over = fact.status in (Status.FAILED, Status.VOIDED) and not fact.still_payable
        return "" if over else "it has not ended it"

    def reference_of(self, payment: Payment) -> str:
        """The PSP's id of the payment, as far as it is known to anybody."""
        said = self.word.fact.psp_reference if self.word.fact else ""
        return payment.current.psp_reference or said or self.psp_reference

    def fact_of(self, payment: Payment) -> PspFact:
        """Return it as if the PSP had said so."""
        captured = self.outcome is Status.CAPTURED
        return PspFact(
            payment.id,
            self.outcome,
            Source.PERSON,
            payment.current.psp,
            attempt=payment.current.number,
            psp_reference=self.reference_of(payment),
            amount_captured=payment.amount if captured else 0,
            currency=payment.currency,
            reason="" if captured else "decided_by_operator",
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """The record of a decision."""

    payment_id: str
    number: int
    outcome: Status
    reason: str
    decided_by: str
    psp_said: str
    against_psp: bool
    decided_at: datetime


def _known(attempt: Attempt) -> tuple[int, State, str]:
    return attempt.number, attempt.state, attempt.psp_reference
