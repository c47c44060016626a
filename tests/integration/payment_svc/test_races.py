"""The PSP's answer and its webhooks at the same instant: one capture, told once."""

from __future__ import annotations

import asyncio
import random

from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, ids, webhook

INTERLEAVINGS = 200


async def test_answer_and_webhook_at_the_same_instant_capture_once(till: Till) -> None:
    """medusa #13301, woocommerce-payments #3520: both paths ended the payment, and two orders came of it."""
    payments = await till.begin(*(f"ord_{number}" for number in range(INTERLEAVINGS)))
    dice = random.Random(13301)

    async def later(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def by_answer(payment: Payment) -> None:
        await later(dice.randrange(6))
        assert await till.learn(captured(payment)) == {}

    async def by_webhook(payment: Payment) -> None:
        await later(dice.randrange(6))
        event = webhook(f"evt_{payment.id}", captured(payment, Source.WEBHOOK))
        assert await till.receive(event) == [False]

    for payment in payments:
        await asyncio.gather(by_answer(payment), by_webhook(payment))

    said = till.said()
    assert all(isinstance(message, PaymentCaptured) for message in said)
    assert len(said) == INTERLEAVINGS
    assert await till.rows("SELECT DISTINCT status, version, amount_captured = amount FROM payments") == [
        ("CAPTURED", 2, True)
    ]
    assert await till.rows("SELECT count(*) FROM webhooks WHERE outcome <> 'applied'") == [(0,)]


async def test_batches_of_the_same_payments_in_any_order_do_not_lock_each_other_out(till: Till) -> None:
    payments = await till.begin(*(f"ord_{number}" for number in range(40)))
    dice = random.Random(3520)
    batches = [dice.sample(payments, len(payments)) for _ in range(6)]
    await asyncio.gather(*(till.learn(*(captured(payment) for payment in batch)) for batch in batches))
    assert len(till.said()) == len(payments)


async def test_a_look_up_that_comes_after_the_webhook_finds_nothing_to_do(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.receive(webhook("evt_1", captured(payment, Source.WEBHOOK)))
    await asyncio.gather(
        till.learn(captured(payment, Source.LOOKUP)),
        till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe")),
    )
    assert len(till.said()) == 1
    assert (await till.payment(payment.id)).version == 2


async def test_a_payment_that_is_due_is_claimed_by_one_sweep_only(till: Till) -> None:
    """killbill #1599: a sweeper raced the live request. Ten sweeps at once share the due payments."""
    payments = await till.begin(*(f"ord_{number}" for number in range(60)))
    for payment in payments:
        await till.make_due(payment)
    claims = await asyncio.gather(*(till.reader.claim_undecided(limit=10, lease_s=15.0) for _ in range(10)))
    claimed = [payment.id for claim in claims for payment in claim]
    assert len(claimed) == len(set(claimed)) == len(payments)
    assert set(claimed) == ids(payments)
    assert await till.reader.claim_undecided(limit=100, lease_s=15.0) == [], "the lease holds"


async def test_a_sweep_passes_by_what_another_transaction_holds(till: Till) -> None:
    one, two = await till.begin("ord_1", "ord_2")
    await till.make_due(one)
    await till.make_due(two)
    async with till.runtime.database.connection() as live, live.transaction():
        await live.execute("SELECT 1 FROM attempts WHERE payment_id = %s FOR UPDATE", (one.id,))
        claimed = await till.reader.claim_undecided(limit=10, lease_s=15.0)
    assert ids(claimed) == {two.id}
