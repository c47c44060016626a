"""Ends payments as people have decided, unless the PSP can still be asked and says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kit.messaging.events import NewEvent
from kit.values.errors import FlorinError, IllegalMove, InvalidRequest, NotFound
from kit.values.reasons import ILLEGAL_STATE
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.ports import PaymentReader, Psp, PspUnavailable, PspUndecided, Scope
from payment_svc.domain.decision import Decided, DecidePayment, PspWord
from payment_svc.domain.payment import Payment, Status
from payment_svc.domain.reasons import PAYMENT_NOT_FOUND, PSP_REFERENCE_MISSING, PSP_SAYS_OTHERWISE


async def ask_psp(reader: PaymentReader, psps: Mapping[str, Psp], payment_id: str) -> PspWord:
    """Return what a payment's PSP says of it, if it has to be asked and can be."""
    payment = await reader.get(payment_id)
    psp = psps.get(payment.current.psp) if payment is not None and not payment.has_ended else None
    if payment is None or psp is None:
        return PspWord(heard=False)
    try:
        return PspWord(heard=True, fact=await psp.find(payment))
    except (PspUndecided, PspUnavailable):
        return PspWord(heard=False)


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
    if decision.word.contradicts(decision.outcome) and not decision.against_psp:
        return IllegalMove(
            PSP_SAYS_OTHERWISE,
            f"{payment.current.psp} says of {payment.id}: {decision.word}; nothing was decided",
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
