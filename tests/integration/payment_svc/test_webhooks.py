"""A webhook is stored once, applied once, and never answered with an error for what it says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from payment_svc.domain.payment import PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, failed, webhook

OUTCOMES = "SELECT event_id, outcome FROM webhooks ORDER BY event_id"


async def test_a_webhook_is_kept_as_it_came(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    event = webhook("evt_1", captured(payment, Source.WEBHOOK))
    assert await till.receive(event) == [False]
    [(kind, payment_id, payload, outcome)] = await till.rows(
        "SELECT type, payment_id, payload, outcome FROM webhooks"
    )
    assert (kind, payment_id, outcome) == ("payment_intent.succeeded", payment.id, "applied")
    assert bytes(payload) == event.payload
    assert [type(message) for message in till.said()] == [PaymentCaptured]


async def test_ten_copies_at_once_are_one_webhook(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    event = webhook("evt_1", captured(payment, Source.WEBHOOK))
    answers = await asyncio.gather(*(till.receive(event) for _ in range(10)))
    assert sorted(duplicate for [duplicate] in answers) == [False] + [True] * 9
    assert await till.rows(OUTCOMES) == [("evt_1", "applied")]
    assert len(till.said()) == 1


async def test_copies_within_one_batch_are_one_webhook(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    event = webhook("evt_1", captured(payment, Source.WEBHOOK))
    assert await till.receive(event, event, event) == [False, True, True]
    assert len(till.said()) == 1


async def test_batches_with_the_same_webhooks_in_another_order_end(till: Till) -> None:
    payments = await till.begin(*(f"ord_{number}" for number in range(30)))
    events = [webhook(f"evt_{p.order_id}", captured(p, Source.WEBHOOK)) for p in payments]
    answers = await asyncio.gather(
        till.receive(*events), till.receive(*reversed(events)), till.receive(*events[10:], *events[:10])
    )
    assert sum(not duplicate for answer in answers for duplicate in answer) == 30
    assert len(till.said()) == 30


async def test_a_contradiction_is_stored_with_what_came_of_it_and_answered_well(till: Till) -> None:
    """medusa #16398, vendure PR 2657: a late or failed webhook was answered 500 for ever."""
    [payment] = await till.begin("ord_1")
    await till.learn(failed(payment))
    till.said()
    other = replace(captured(payment, Source.WEBHOOK), psp_reference="pi_other")
    assert await till.receive(webhook("evt_1", other)) == [False]
    [(event_id, outcome)] = await till.rows(OUTCOMES)
    assert event_id == "evt_1"
    assert outcome.startswith("contradicts: ")
    assert "pi_other" in outcome
    assert till.said() == []
    assert (await till.payment(payment.id)).status is Status.FAILED
    assert await till.receive(webhook("evt_1", other)) == [True]


async def test_two_psps_may_call_their_events_alike(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    fact = captured(payment, Source.WEBHOOK)
    theirs = webhook("evt_1", replace(fact, psp="adyen"), psp="adyen")
    assert await till.receive(theirs, webhook("evt_1", fact)) == [False, False]
    outcomes = await till.rows("SELECT psp, outcome FROM webhooks ORDER BY psp")
    assert [psp for psp, _ in outcomes] == ["adyen", "stripe"]
    assert "is at stripe, and adyen speaks of it" in outcomes[0][1]
    assert outcomes[1][1] == "applied"
    assert len(till.said()) == 1


async def test_what_is_not_ours_is_stored_and_answered_well(till: Till) -> None:
    unknown = PspFact("pay_unknown", Status.CAPTURED, Source.WEBHOOK, "stripe", psp_reference="pi_1")
    answers = await till.receive(
        webhook("evt_1", None, "charge.refunded"),
        webhook("evt_2", unknown),
        webhook("evt_3", None, "customer.created"),
    )
    assert answers == [False, False, False]
    assert await till.rows(OUTCOMES) == [
        ("evt_1", "not_ours"),
        ("evt_2", "unknown_payment"),
        ("evt_3", "not_ours"),
    ]


async def test_webhooks_that_overtake_each_other_end_as_the_last_word_says(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    processing = PspFact(
        payment.id, Status.PROCESSING, Source.WEBHOOK, "stripe", psp_reference=f"pi_{payment.id}"
    )
    await till.receive(webhook("evt_2", captured(payment, Source.WEBHOOK)))
    await till.receive(webhook("evt_1", processing, "payment_intent.processing"))
    assert (await till.payment(payment.id)).status is Status.CAPTURED
    assert {outcome for _, outcome in await till.rows(OUTCOMES)} == {"applied"}


async def test_a_failure_by_webhook_alone_is_told(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.receive(webhook("evt_1", failed(payment, Source.WEBHOOK), "payment_intent.payment_failed"))
    assert till.said() == [
        PaymentFailed(
            payment_id=payment.id,
            order_id="ord_1",
            version=2,
            reason="card_declined",
            decline_code="generic_decline",
        )
    ]
