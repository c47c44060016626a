"""What a person settles in place of a PSP: recorded, announced, and refused where the PSP knows better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from kit.messaging.step import Step
from kit.values.clock import system_clock
from kit.values.errors import FlorinError
from payment_svc.application.decide.decide_payments import ask_psp, decide_payments
from payment_svc.application.ports import PspUndecided
from payment_svc.domain.attempt import State
from payment_svc.domain.decision import DecidePayment, PspWord
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, declined, failed
from tests.unit.payment_svc.test_charger import FakePsp

RECORDS = "SELECT payment_id, number, outcome, reason, decided_by, psp_said, against_psp FROM decisions"


def decision(
    payment: Payment, outcome: Status, word: PspWord | None = None, **fields: object
) -> DecidePayment:
    """Return a decision about an old payment of which its PSP says nothing, but for the given fields."""
    word = word or silent(payment)
    begun = DecidePayment(payment.id, outcome, "seen at the bank", "ops:ada", "", False, word)
    return replace(begun, **fields)  # type: ignore[arg-type]  # fields of a decision


async def decide(till: Till, *decisions: DecidePayment) -> list[Payment | FlorinError]:
    """Decide in one step."""

    async def body(step: Step) -> list[Payment | FlorinError]:
        results, events = await decide_payments(till.scope(step), decisions)
        step.emit(events)
        return results

    return await till.runtime.steps.take(body)


async def unknown(till: Till, order_id: str = "ord_1") -> Payment:
    """Return a payment of which nobody knows what became of it, and which nobody is calling about."""
    [payment] = await till.begin(order_id)
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe"))
    await till.let_leave_pass(payment)
    return payment


def silent(payment: Payment) -> PspWord:
    """Return that the PSP does not answer about an old payment."""
    return PspWord(False, about=payment.current)


def never_heard(payment: Payment) -> PspWord:
    """Return that the PSP knows nothing of an old payment."""
    return PspWord(True, about=payment.current)


def heard(payment: Payment, fact: PspFact) -> PspWord:
    """Return what the PSP says."""
    return PspWord(True, fact, about=payment.current, key_lives=True)


async def ask(till: Till, payment_id: str, psp: FakePsp, *, name: str = "stripe") -> PspWord:
    """Return what a PSP of that name says."""
    return await ask_psp(till.reader, {name: psp}, system_clock, payment_id)


def reason_of(result: Payment | FlorinError) -> str:
    """Return why a decision was refused."""
    assert isinstance(result, FlorinError)
    return result.reason


async def test_a_failure_is_recorded_and_told_as_if_the_psp_had_said_so(till: Till) -> None:
    payment = await unknown(till)
    [decided] = await decide(till, decision(payment, Status.FAILED))
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
    [refused] = await decide(till, decision(payment, Status.CAPTURED))
    assert reason_of(refused) == "PSP_REFERENCE_MISSING"
    await decide(till, decision(payment, Status.CAPTURED, psp_reference="pi_7"))
    [told] = till.said()
    assert isinstance(told, PaymentCaptured)
    assert (told.psp_reference, told.amount) == ("pi_7", payment.amount)


WORDS: dict[str, Callable[[Payment], PspWord]] = {
    "captured": lambda payment: heard(payment, captured(payment, Source.LOOKUP)),
    "a part captured": lambda payment: heard(
        payment, replace(captured(payment, Source.LOOKUP), amount_captured=payment.amount - 100)
    ),
    "dollars captured": lambda payment: heard(
        payment, replace(captured(payment, Source.LOOKUP), currency="USD")
    ),
    "failed": lambda payment: heard(payment, failed(payment, Source.LOOKUP)),
    "still payable": lambda payment: heard(payment, declined(payment, Source.LOOKUP)),
    "processing": lambda payment: heard(
        payment, PspFact(payment.id, Status.PROCESSING, Source.LOOKUP, "stripe")
    ),
    "never heard of it": never_heard,
    "never heard of it, and its key lives": lambda payment: replace(never_heard(payment), key_lives=True),
    "no answer": silent,
    "no answer, and its key lives": lambda payment: replace(silent(payment), key_lives=True),
    "something before it moved": lambda payment: replace(
        heard(payment, failed(payment, Source.LOOKUP)), about=replace(payment.current, state=State.SPENT)
    ),
}
MAY_BE = {
    "captured": {Status.CAPTURED},
    "a part captured": set(),
    "dollars captured": set(),
    "failed": {Status.FAILED},
    "still payable": set(),
    "processing": set(),
    "never heard of it": {Status.FAILED},
    "never heard of it, and its key lives": set(),
    "no answer": {Status.CAPTURED, Status.FAILED},
    "no answer, and its key lives": {Status.CAPTURED},
    "something before it moved": set(),
}


@pytest.mark.parametrize("outcome", [Status.CAPTURED, Status.FAILED])
@pytest.mark.parametrize("said", sorted(WORDS))
async def test_what_the_psp_says_otherwise_needs_a_word_of_its_own(
    till: Till, said: str, outcome: Status
) -> None:
    payment = await unknown(till)
    wish = decision(payment, outcome, WORDS[said](payment), psp_reference="pi_7")
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
        decision(two, Status.FAILED),
        decision(one, Status.FAILED),
        decision(two, Status.FAILED),
        decision(replace(two, id="pay_?"), Status.FAILED),
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
    assert str(await ask(till, payment.id, psp)) == "CAPTURED"
    psp.found = PspUndecided("time-out")
    assert str(await ask(till, payment.id, psp)) == "no answer"
    assert str(await ask(till, payment.id, psp, name="adyen")) == "no answer"
    assert await ask(till, "pay_?", psp) == PspWord(heard=False)
    assert len(psp.asked) == 2


@pytest.mark.parametrize(
    ("found", "name"),
    [(None, "stripe"), (PspUndecided("time-out"), "stripe"), (None, "adyen")],
    ids=["never-heard-of-it", "no-answer", "no-gateway"],
)
async def test_what_the_psp_does_not_know_has_failed_only_once_its_key_is_forgotten(
    till: Till, found: PspUndecided | None, name: str
) -> None:
    payment = await unknown(till)
    for age, may_fail in ((timedelta(0), False), (timedelta(hours=23), False), (timedelta(hours=24), True)):
        await till.make_older(payment, age)
        word = await ask(till, payment.id, FakePsp(found=found), name=name)
        [result] = await decide(till, decision(payment, Status.FAILED, word))
        assert isinstance(result, Payment) is may_fail


async def test_under_a_spent_key_nothing_can_follow_what_the_psp_does_not_have(till: Till) -> None:
    payment = await unknown(till)
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe", key_spent=True))
    word = await ask(till, payment.id, FakePsp(found=PspUndecided("time-out")))
    [refused] = await decide(till, decision(payment, Status.FAILED, word))
    assert reason_of(refused) == "PSP_SAYS_OTHERWISE"
    word = await ask(till, payment.id, FakePsp(found=None))
    [decided] = await decide(till, decision(payment, Status.FAILED, word))
    assert isinstance(decided, Payment)
