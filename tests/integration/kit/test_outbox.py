"""An event leaves with its effect, and is sent until everyone has acted on it."""

from __future__ import annotations

import asyncio

import pytest
from florin.inventory.v1.inventory_events_pb2 import StockReserved
from florin.order.v1.order_events_pb2 import OrderCompleted

from kit.messaging.bus import Envelope
from kit.messaging.events import Aggregate, NewEvent, event_type
from kit.messaging.outbox import RESEND_DAYS, RESEND_PAUSES, Outbox
from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.values.clock import system_clock
from kit.values.ids import new_id
from kit.values.trail import Trail
from tests.integration.kit.sample import CONSUMERS, execute, rows
from tests.support.service import RecordingBus, opened, recorded

ORDER = Aggregate("order", "ord_1")
TRAIL = Trail("cor_1", f"00-{'a' * 32}-{'b' * 16}-01")

MAKE_DUE = "UPDATE outbox SET next_send_at = now()"


async def emit(runtime: Runtime, *order_ids: str) -> list[Envelope]:
    """Emit OrderCompleted (one consumer: notification_svc) and return what was published."""

    async def body(step: Step) -> None:
        step.emit([NewEvent(OrderCompleted(order_id=o), Aggregate("order", o), TRAIL) for o in order_ids])

    await runtime.steps.take(body)
    return recorded(runtime).take()


async def test_events_are_published_after_the_commit_and_never_without_it(runtime: Runtime) -> None:
    async def abandoned(step: Step) -> None:
        step.emit([NewEvent(OrderCompleted(order_id="ord_1"), ORDER, TRAIL)])
        step.after_commit(lambda: pytest.fail("nothing was committed"))
        raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        await runtime.steps.take(abandoned)
    assert recorded(runtime).published == []
    assert await rows(runtime, "SELECT * FROM outbox") == []

    [envelope] = await emit(runtime, "ord_1")
    assert await rows(runtime, "SELECT event_id, type FROM outbox") == [(envelope.id, "order.completed")]
    assert opened([envelope]) == [OrderCompleted(order_id="ord_1")]
    assert envelope.trail == TRAIL


async def test_what_everyone_has_confirmed_is_deleted_and_what_one_has_not_stays(runtime: Runtime) -> None:
    async def body(step: Step) -> None:
        step.emit([NewEvent(StockReserved(order_id="ord_1"), ORDER, TRAIL)])

    await runtime.steps.take(body)
    [event] = recorded(runtime).take()

    runtime.outbox.confirm("payment_svc", [event.id])
    runtime.outbox.confirm("payment_svc", [event.id])
    assert await runtime.outbox.forget_confirmed() == 0
    runtime.outbox.confirm("order_svc", [event.id, "evt_of_somebody_else"])
    assert await runtime.outbox.forget_confirmed() == 1
    assert await rows(runtime, "SELECT * FROM outbox") == []


async def test_an_unconfirmed_event_is_sent_again_under_a_new_message_id(runtime: Runtime) -> None:
    [first] = await emit(runtime, "ord_1")
    assert await runtime.outbox.resend_due() == 0, "it is not due yet"
    await execute(runtime, MAKE_DUE)
    assert await runtime.outbox.resend_due() == 1
    [second] = recorded(runtime).take()
    assert (second.id, second.payload, second.trail) == (first.id, first.payload, first.trail)
    assert second.aggregate == first.aggregate == ORDER
    assert second.attempt == 2
    assert second.headers()["Nats-Msg-Id"] != first.headers()["Nats-Msg-Id"]
    assert second.headers()["ce-id"] == first.headers()["ce-id"]
    runtime.outbox.confirm("notification_svc", [first.id])
    assert await runtime.outbox.forget_confirmed() == 1


async def test_an_event_that_was_never_published_is_sent_by_whoever_comes_next(runtime: Runtime) -> None:
    recorded(runtime).down = True
    assert await emit(runtime, "ord_1") == []
    await execute(runtime, MAKE_DUE)
    successor = Outbox(
        runtime.database,
        bus := RecordingBus(),
        source="sample_svc",
        types=[event_type(OrderCompleted)],
        consumers=CONSUMERS,
        new_id=new_id,
        clock=system_clock,
    )
    assert await successor.resend_due() == 1
    assert opened(bus.published) == [OrderCompleted(order_id="ord_1")]
    assert bus.published[0].confirm_to == bus.confirm_subject, "it is confirmed to whom it was sent by"


async def test_pauses_between_sends_grow_to_a_limit(runtime: Runtime) -> None:
    due = "SELECT round(extract(epoch FROM next_send_at - now()))::int FROM outbox"
    await emit(runtime, "ord_1")
    pauses = await rows(runtime, due)
    for _ in range(6):
        await execute(runtime, MAKE_DUE)
        await runtime.outbox.resend_due()
        pauses += await rows(runtime, due)
    assert pauses == [(RESEND_PAUSES.after(earlier),) for earlier in range(7)]


async def test_several_relays_never_send_the_same_event_at_the_same_time(runtime: Runtime) -> None:
    await emit(runtime, *[f"ord_{n}" for n in range(1_200)])
    await execute(runtime, MAKE_DUE)
    sent = await asyncio.gather(*[runtime.outbox.resend_due() for _ in range(6)])
    assert sum(sent) == 1_200
    ids = [envelope.id for envelope in recorded(runtime).take()]
    assert len(ids) == len(set(ids)) == 1_200


async def test_after_seven_days_nothing_is_sent_by_itself_and_the_row_stays_for_a_person(
    runtime: Runtime,
) -> None:
    await emit(runtime, "ord_1")
    await execute(
        runtime,
        f"UPDATE outbox SET next_send_at = now(), created_at = now() - interval '{RESEND_DAYS} days'",
    )
    assert await runtime.outbox.resend_due() == 0
    assert len(await rows(runtime, "SELECT * FROM outbox")) == 1
