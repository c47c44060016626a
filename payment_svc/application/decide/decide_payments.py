"""Ends payments as people have decided, unless the PSP can still be asked and says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from kit.messaging.events import NewEvent
from kit.values.clock import Clock
from kit.values.errors import Conflict, FlorinError, IllegalMove, InvalidRequest, NotFound
from kit.values.reasons import ILLEGAL_STATE
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.ports import PaymentReader, Psp, PspUnavailable, PspUndecided, Scope
from payment_svc.domain.attempt import Attempt, State
from payment_svc.domain.decision import Decided, DecidePayment, PspWord
from payment_svc.domain.payment import Payment, Status
from payment_svc.domain.reasons import (
    CALL_UNDER_WAY,
    PAYMENT_NOT_FOUND,
    PSP_REFERENCE_MISSING,
    PSP_SAYS_OTHERWISE,
)
from payment_svc.domain.schedule import LEAVE_TO_CALL_S

# What was sent shortly before its key was too old is long over after this, whatever it waited for on its way.
_STRAY_CALLS: Final = timedelta(hours=1)

# How long a PSP that has no gateway here may remember a key.
_KEY_LIFETIME: Final = timedelta(hours=23)


async def ask_psp(reader: PaymentReader, psps: Mapping[str, Psp], clock: Clock, payment_id: str) -> PspWord:
    """Return what a payment's PSP says of it, if it has to be asked and can be."""
    payment = await reader.get(payment_id)
    if payment is None or payment.has_ended:
        return PspWord(heard=False)
    asked = payment.current
    psp = psps.get(asked.psp)
    if psp is None:
        return PspWord(False, about=asked, key_lives=_lives(asked, _KEY_LIFETIME, clock))
    try:
        fact = await psp.find(payment)
    except (PspUndecided, PspUnavailable):
        return PspWord(False, about=asked, key_lives=_lives(asked, psp.key_lifetime, clock))
    # Of an attempt whose key is spent the PSP has nothing, and under its key nothing can be made.
    lives = asked.state is not State.SPENT and _lives(asked, psp.key_lifetime, clock)
    return PspWord(True, fact, about=asked, key_lives=lives)


def _lives(attempt: Attempt, key_lifetime: timedelta, clock: Clock) -> bool:
    return clock() - attempt.started_at < key_lifetime + _STRAY_CALLS


async def decide_payments(
    scope: Scope, decisions: Sequence[DecidePayment]
) -> tuple[list[Payment | FlorinError], list[NewEvent]]:
    """Record who has decided what and why, and go on as if the PSP had said so.

    Returns the payment or a refusal for each decision, and the events.
    """
    payments = await scope.payments.lock([decision.payment_id for decision in decisions])
    refusals: list[FlorinError | None] = []
    accepted: dict[str, DecidePayment] = {}
    for decision in decisions:
        payment = payments.get(decision.payment_id)
        refusal = _refusal(decision, payment, twice=decision.payment_id in accepted)
        refusals.append(refusal)
        if refusal is None:
            accepted[decision.payment_id] = decision
    await scope.payments.record(
        [_record(scope, decision, payments[payment_id]) for payment_id, decision in accepted.items()]
    )
    applied = await apply_psp_facts(
        scope, [decision.fact_of(payments[payment_id]) for payment_id, decision in accepted.items()]
    )
    assert not applied.problems, "an undecided payment can become what it was decided to be"
    results = [
        refusal or applied.payments[decision.payment_id]
        for refusal, decision in zip(refusals, decisions, strict=True)
    ]
    return results, applied.events


def _refusal(decision: DecidePayment, payment: Payment | None, *, twice: bool) -> FlorinError | None:
    if payment is None:
        return NotFound(PAYMENT_NOT_FOUND, f"no payment has the id {decision.payment_id!r}")
    if payment.has_ended or payment.status is Status.AUTHORIZED or twice:
        return IllegalMove(
            ILLEGAL_STATE,
            f"payment {payment.id} is {payment.status.value}; only an undecided one can be decided",
            metadata={"from": payment.status.value, "to": decision.outcome.value},
        )
    if decision.outcome is Status.FAILED and payment.current.may_be_charging:
        return Conflict(
            CALL_UNDER_WAY,
            f"{payment.current.psp} may be charging {payment.id} at this moment; nothing was decided",
            retry_after_s=LEAVE_TO_CALL_S,
        )
    objection = decision.objection(payment)
    if objection and not decision.against_psp:
        return IllegalMove(
            PSP_SAYS_OTHERWISE,
            f"{payment.current.psp} says of {payment.id}: {decision.word}; {objection}; nothing was decided",
            metadata={"psp": payment.current.psp, "psp_said": str(decision.word)},
        )
    if decision.outcome is Status.CAPTURED and not decision.reference_of(payment):
        return InvalidRequest(
            PSP_REFERENCE_MISSING,
            f"name what {payment.current.psp} calls {payment.id}: its id is not known here",
        )
    return None


def _record(scope: Scope, decision: DecidePayment, payment: Payment) -> Decided:
    return Decided(
        payment_id=payment.id,
        number=payment.current.number,
        outcome=decision.outcome,
        reason=decision.reason,
        decided_by=decision.decided_by,
        psp_said=str(decision.word),
        against_psp=decision.against_psp,
        decided_at=scope.clock(),
    )
