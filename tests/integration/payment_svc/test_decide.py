"""What a person settles in place of a PSP: recorded, announced, and refused where the PSP knows better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from kit.messaging.step import Step
from kit.values.errors import FlorinError
from payment_svc.application.decide.decide_payments import ask_psp, decide_payments
from payment_svc.application.ports import PspUndecided
from payment_svc.domain.decision import DecidePayment, PspWord
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, declined, failed
from tests.unit.payment_svc.test_charger import FakePsp

SILENT = PspWord(heard=False)
NEVER_HEARD = PspWord(heard=True)
RECORDS = "SELECT payment_id, number, outcome, reason, decided_by, psp_said, against_psp FROM decisions"


def decision(payment_id: str, outcome: Status, word: PspWord = SILENT, **fields: object) -> DecidePayment:
    """Return a decision of an operator, but for the given fields."""
    begun = DecidePayment(payment_id, outcome, "seen at the bank", "ops:ada", "", False, word)
    return replace(begun, **fields)  # type: ignore[arg-type]  # fields of a decision


async def decide(till: Till, *decisions: DecidePayment) -> list[Payment | FlorinError]:
    """Decide in one step."""

    async def body(step: Step) -> list[Payment | FlorinError]:
        results, events = await decide_payments(till.scope(step), decisions)
        step.emit(events)
        return results

    return await till.runtime.steps.take(body)


async def unknown(till: Till, order_id: str = "ord_1") -> Payment:
    """Return a payment of which nobody knows what became of it."""
    [payment] = await till.begin(order_id)
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe"))
    return payment


def reason_of(result: Payment | FlorinError) -> str:
    """Return why a decision was refused."""
    assert isinstance(result, FlorinError)
    return result.reason


async def test_a_failure_is_recorded_and_told_as_if_the_psp_had_said_so(till: Till) -> None:
    payment = await unknown(till)
    [decided] = await decide(till, decision(payment.id, Status.FAILED))
    assert isinstance(decided, Payment)
    assert decided == await till.payment(payment.id)
    assert (decided.status, decided.current.reason) == (Status.FAILED, "decided_by_operator")
    [told] = till.said()
    assert isinstance(told, PaymentFailed)
    assert await till.rows(RECORDS) == [
        (payment.id, 1, "FAILED", "seen at the bank", "ops:ada", "no answer", False)
    ]


async def test_a_capture_needs_the_name_that_the_psp_has_for_it(till: Till) -> None:
    payment = await unknown(till)
    [refused] = await decide(till, decision(payment.id, Status.CAPTURED))
    assert reason_of(refused) == "PSP_REFERENCE_MISSING"
    await decide(till, decision(payment.id, Status.CAPTURED, psp_reference="pi_7"))
    [told] = till.said()
    assert isinstance(told, PaymentCaptured)
    assert (told.psp_reference, told.amount) == ("pi_7", payment.amount)


WORDS: dict[str, Callable[[Payment], PspWord]] = {
    "captured": lambda payment: PspWord(True, captured(payment, Source.LOOKUP)),
    "failed": lambda payment: PspWord(True, failed(payment, Source.LOOKUP)),
    "still payable": lambda payment: PspWord(True, declined(payment, Source.LOOKUP)),
    "processing": lambda payment: PspWord(
        True, PspFact(payment.id, Status.PROCESSING, Source.LOOKUP, "stripe")
    ),
    "never heard of it": lambda payment: NEVER_HEARD,
    "no answer": lambda payment: SILENT,
}
MAY_BE = {
    "captured": {Status.CAPTURED},
    "failed": {Status.FAILED},
    "still payable": set(),
    "processing": set(),
    "never heard of it": {Status.FAILED},
    "no answer": {Status.CAPTURED, Status.FAILED},
}


@pytest.mark.parametrize("outcome", [Status.CAPTURED, Status.FAILED])
@pytest.mark.parametrize("said", sorted(WORDS))
async def test_what_the_psp_says_otherwise_needs_a_word_of_its_own(
    till: Till, said: str, outcome: Status
) -> None:
    payment = await unknown(till)
    wish = decision(payment.id, outcome, WORDS[said](payment), psp_reference="pi_7")
    [result] = await decide(till, wish)
    if outcome in MAY_BE[said]:
        assert isinstance(result, Payment)
        return
    assert reason_of(result) == "PSP_SAYS_OTHERWISE"
    assert till.said() == []
    assert await till.rows(RECORDS) == []
    await decide(till, replace(wish, against_psp=True))
    assert (await till.payment(payment.id)).status is outcome
    [(*_, against_psp)] = await till.rows(RECORDS)
    assert against_psp


async def test_only_an_undecided_payment_can_be_decided_and_only_once(till: Till) -> None:
    one, two = await unknown(till, "ord_1"), await unknown(till, "ord_2")
    await till.learn(captured(one))
    first, ended, second, nobody = await decide(
        till,
        decision(two.id, Status.FAILED),
        decision(one.id, Status.FAILED),
        decision(two.id, Status.FAILED),
        decision("pay_?", Status.FAILED),
    )
    assert isinstance(first, Payment)
    assert [reason_of(each) for each in (ended, second, nobody)] == [
        "ILLEGAL_STATE",
        "ILLEGAL_STATE",
        "PAYMENT_NOT_FOUND",
    ]
    assert len(await till.rows(RECORDS)) == 1


async def test_the_psp_that_was_called_is_asked_before(till: Till) -> None:
    payment = await unknown(till)
    psp = FakePsp(found=captured(payment, Source.LOOKUP))
    assert str(await ask_psp(till.reader, {"stripe": psp}, payment.id)) == "CAPTURED"
    psp.found = PspUndecided("time-out")
    assert await ask_psp(till.reader, {"stripe": psp}, payment.id) == SILENT
    assert await ask_psp(till.reader, {"adyen": psp}, payment.id) == SILENT
    assert await ask_psp(till.reader, {"stripe": psp}, "pay_?") == SILENT
    assert len(psp.asked) == 2
