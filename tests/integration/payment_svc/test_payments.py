"""One payment per order, one end per payment, one event per move."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed, PaymentRequiresAction

from payment_svc.domain.attempt import State
from payment_svc.domain.payment import PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, challenged, declined, failed, reserved
from tests.support.service import envelope_of


async def test_a_payment_is_on_record_before_it_is_handed_to_the_psp(till: Till) -> None:
    await till.when(reserved("ord_1"))
    till.then_nothing()
    [begun] = till.handed_over
    stored = await till.payment(begun.id)
    leave = replace(begun.current, has_leave=True)
    assert stored == replace(begun, attempts=(leave,)), "with leave for its first call"
    assert (stored.status, stored.fee_amount, stored.version) == (Status.PROCESSING, 50, 1)
    assert stored.current.psp_key == f"{stored.id}:charge:1"


async def test_an_order_is_paid_once_however_often_its_stock_is_reserved(till: Till) -> None:
    again = envelope_of(reserved("ord_1"))
    await till.given(again, reserved("ord_1"), reserved("ord_2"))
    await till.given(again)
    await till.given(reserved("ord_1"))
    assert [payment.order_id for payment in till.handed_over] == ["ord_1", "ord_2"]
    assert await till.rows("SELECT count(*) FROM payments") == [(2,)]


async def test_two_replicas_that_hear_of_one_order_begin_one_payment(till: Till) -> None:
    await asyncio.gather(*(till.given(reserved("ord_1")) for _ in range(5)))
    assert len(till.handed_over) == 1


async def test_a_capture_is_told_with_all_that_the_books_need(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    assert await till.learn(captured(payment)) == {}
    assert till.said() == [
        PaymentCaptured(
            payment_id=payment.id,
            order_id="ord_1",
            version=2,
            merchant_id="mer_1",
            customer_id="cus_1",
            amount=2_000,
            fee_amount=50,
            tax_amount=319,
            currency="EUR",
            psp="stripe",
            psp_reference=f"pi_{payment.id}",
        )
    ]
    stored = await till.payment(payment.id)
    assert (stored.status, stored.amount_captured, stored.version) == (Status.CAPTURED, 2_000, 2)


async def test_each_payment_of_a_batch_moves_by_its_own_facts(till: Till) -> None:
    one, two, three = await till.begin("ord_1", "ord_2", "ord_3")
    await till.learn(captured(one), failed(two), challenged(three), captured(one), captured(three))
    assert [type(message) for message in till.said()] == [
        PaymentCaptured,
        PaymentFailed,
        PaymentRequiresAction,
        PaymentCaptured,
    ]
    assert (await till.payment(two.id)).current.reason == "card_declined"
    assert (await till.payment(three.id)).version == 3


async def test_a_fact_that_contradicts_hurts_no_neighbour_and_changes_nothing(till: Till) -> None:
    one, two = await till.begin("ord_1", "ord_2")
    await till.learn(failed(one))
    till.said()
    one = await till.payment(one.id)
    stranger = replace(captured(one), psp_reference="pi_of_somebody_else")
    problems = await till.learn(
        stranger, captured(two), PspFact("pay_?", Status.FAILED, Source.LOOKUP, "stripe")
    )
    assert sorted(problems) == [0, 2]
    assert "not pi_of_somebody_else" in problems[0]
    assert problems[2] == "unknown_payment"
    assert [type(message) for message in till.said()] == [PaymentCaptured]
    assert (await till.payment(one.id)).status is Status.FAILED


async def test_a_time_out_is_remembered_and_told_to_nobody(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe"))
    assert till.said() == []
    assert (await till.payment(payment.id)).status is Status.UNKNOWN


async def test_a_decline_is_told_once_nobody_can_pay_it_any_more(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(declined(payment))
    assert till.said() == [], "the PSP would still take the money"
    assert (await till.payment(payment.id)).current.state is State.CLOSING
    voided = PspFact(payment.id, Status.VOIDED, Source.LOOKUP, "stripe", psp_reference=f"pi_{payment.id}")
    await till.learn(voided, voided)
    [told] = till.said()
    assert isinstance(told, PaymentFailed)
    assert (told.reason, told.decline_code) == ("card_declined", "generic_decline")


async def test_money_that_comes_after_the_end_is_told_and_not_forgotten(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(failed(payment))
    till.said()
    assert await till.learn(captured(payment, Source.WEBHOOK)) == {}
    assert [type(message) for message in till.said()] == [PaymentCaptured]
    stored = await till.payment(payment.id)
    assert (stored.status, stored.amount_captured) == (Status.CAPTURED, stored.amount)


async def test_another_attempt_has_a_row_and_a_key_of_its_own(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe", key_spent=True))
    nothing = PspFact(
        payment.id, Status.FAILED, Source.LOOKUP, "stripe", attempt=1, reason="psp_error", left_nothing=True
    )
    await asyncio.gather(*(till.learn(nothing) for _ in range(5)))
    again = await till.payment(payment.id)
    assert [(a.number, a.operation, a.state) for a in again.attempts] == [
        (1, 1, State.ENDED),
        (2, 1, State.OPEN),
    ]
    assert till.said() == []
    await till.make_due(payment)
    [due] = await till.reader.claim_undecided(limit=10, lease_s=15.0)
    assert due.current == replace(again.current, look_ups=1)
    await till.learn(replace(captured(payment), attempt=2))
    assert [type(message) for message in till.said()] == [PaymentCaptured]
