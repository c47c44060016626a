"""An event leaves with its effect, and is sent until everyone has acted on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from florin.inventory.v1.inventory_events_pb2 import StockReserved
from florin.order.v1.order_events_pb2 import OrderCompleted

from kit.messaging import inbox, parked
from kit.messaging import outbox as outbox_module
from kit.messaging.envelope import Envelope
from kit.messaging.events import Aggregate, NewEvent, event_type
from kit.messaging.outbox import RESEND_DAYS, RESEND_PAUSES, Outbox
from kit.messaging.parked import Unparked, unpark
from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.values.clock import system_clock
from kit.values.ids import new_id
from kit.values.pauses import Pauses
from kit.values.trail import Trail
from tests.conftest import RecordingRuntimeFactory
from tests.integration.kit.sample import CONSUMERS, SAMPLE, execute, rows
from tests.support.databases import ServiceDatabase
from tests.support.service import RecordingBus, opened, recorded
from tests.support.waiting import eventually

ORDER = Aggregate("order", "ord_1")
TRAIL = Trail("cor_1", f"00-{'a' * 32}-{'b' * 16}-01")

MAKE_DUE = (
    "UPDATE outbox SET overdue_at = now() WHERE overdue_at IS NOT NULL;"
    " UPDATE resends SET next_send_at = now()"
)


async def emit(runtime: Runtime, *order_ids: str) -> list[Envelope]:
    """Emit OrderCompleted (one consumer: notification_svc) and return what was published."""

    async def body(step: Step) -> None:
        step.emit([NewEvent(OrderCompleted(order_id=o), Aggregate("order", o), TRAIL) for o in order_ids])

    await runtime.steps.take(body)
    return recorded(runtime).take()


async def reserve(runtime: Runtime, *order_ids: str) -> list[Envelope]:
    """Emit StockReserved (two consumers: payment_svc and order_svc) and return what was published."""

    async def body(step: Step) -> None:
        step.emit([NewEvent(StockReserved(order_id=o), Aggregate("order", o), TRAIL) for o in order_ids])

    await runtime.steps.take(body)
    return recorded(runtime).take()


def successor_of(runtime: Runtime, bus: RecordingBus) -> Outbox:
    """Return the outbox of another replica."""
    return Outbox(
        runtime.database,
        bus,
        source="sample_svc",
        types=[event_type(OrderCompleted), event_type(StockReserved)],
        consumers=CONSUMERS,
        new_id=new_id,
        clock=system_clock,
    )


async def nothing_is_owed(runtime: Runtime) -> bool:
    """Return whether there is neither an event nor somebody who has not confirmed one."""
    return await rows(runtime, "SELECT event_id FROM outbox UNION ALL SELECT event_id FROM resends") == []


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
    [event] = await reserve(runtime, "ord_1")
    runtime.outbox.confirm("payment_svc", [event.id])
    runtime.outbox.confirm("payment_svc", [event.id])
    await runtime.outbox.forget_confirmed()
    assert await rows(runtime, "SELECT event_id FROM outbox") == [(event.id,)]
    runtime.outbox.confirm("order_svc", [event.id, "evt_of_somebody_else"])
    await runtime.outbox.forget_confirmed()
    assert await rows(runtime, "SELECT * FROM outbox") == []


async def test_an_overdue_event_is_sent_again_under_a_message_id_of_its_own(runtime: Runtime) -> None:
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
    await runtime.outbox.forget_confirmed()
    assert await nothing_is_owed(runtime)


async def test_whoever_has_confirmed_gets_nothing_again(runtime: Runtime) -> None:
    [event] = await reserve(runtime, "ord_1")
    runtime.outbox.confirm("payment_svc", [event.id])
    await execute(runtime, MAKE_DUE)
    await runtime.outbox.resend_due()
    assert [(sent.id, sent.to) for sent in recorded(runtime).take()] == [(event.id, "order_svc")]
    runtime.outbox.confirm("order_svc", [event.id])
    await runtime.outbox.forget_confirmed()
    assert await nothing_is_owed(runtime)


async def test_the_process_that_sent_an_event_notes_who_is_missing_before_the_others_do(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own clock says when: the others would have to write down all consumers."""
    [event] = await reserve(runtime, "ord_1")
    runtime.outbox.confirm("order_svc", [event.id])
    assert await successor_of(runtime, RecordingBus()).resend_due() == 0
    monkeypatch.setattr(outbox_module, "RESEND_PAUSES", Pauses((0.0, 10.0)))
    await runtime.outbox.resend_due()
    assert [sent.to for sent in recorded(runtime).take()] == ["payment_svc"]


async def test_an_event_that_was_never_published_is_sent_by_whoever_comes_next(runtime: Runtime) -> None:
    recorded(runtime).down = True
    assert await reserve(runtime, "ord_1") == []
    await execute(runtime, MAKE_DUE)
    bus = RecordingBus()
    assert await successor_of(runtime, bus).resend_due() == 2
    assert opened(bus.published) == [StockReserved(order_id="ord_1")] * 2
    assert {sent.to for sent in bus.published} == {"payment_svc", "order_svc"}
    assert len({sent.headers()["Nats-Msg-Id"] for sent in bus.published}) == 2, "the broker keeps both"
    assert bus.published[0].confirm_to == bus.confirm_subject, "it is confirmed to whom it was sent by"


async def test_pauses_between_sends_grow_to_a_limit(runtime: Runtime) -> None:
    await emit(runtime, "ord_1")
    pauses = []
    for _ in range(6):
        await execute(runtime, MAKE_DUE)
        await runtime.outbox.resend_due()
        pauses += await rows(
            runtime, "SELECT round(extract(epoch FROM next_send_at - now()))::int FROM resends"
        )
    assert pauses == [(RESEND_PAUSES.after(earlier),) for earlier in range(1, 7)]


async def test_several_relays_never_send_the_same_event_at_the_same_time(runtime: Runtime) -> None:
    await emit(runtime, *[f"ord_{n}" for n in range(1_200)])
    await execute(runtime, MAKE_DUE)
    sent = await asyncio.gather(*[runtime.outbox.resend_due() for _ in range(6)])
    sent += await asyncio.gather(*[runtime.outbox.resend_due() for _ in range(6)])
    assert sum(sent) == 1_200
    ids = [envelope.id for envelope in recorded(runtime).take()]
    assert len(ids) == len(set(ids)) == 1_200


async def test_nothing_is_sent_again_to_one_that_is_not_there_until_it_is_back(runtime: Runtime) -> None:
    recorded(runtime).backlogs["payment_svc"] = None
    events = await reserve(runtime, "ord_1", "ord_2")
    for _ in range(3):
        await execute(runtime, MAKE_DUE)
        await runtime.outbox.resend_due()
    assert {sent.to for sent in recorded(runtime).take()} == {"order_svc"}
    recorded(runtime).backlogs["payment_svc"] = 0
    await execute(runtime, "UPDATE resends SET next_send_at = 'infinity' WHERE consumer = 'order_svc'")
    await runtime.outbox.resend_due()
    again = recorded(runtime).take()
    assert {(sent.id, sent.to, sent.attempt) for sent in again} == {
        (event.id, "payment_svc", 2) for event in events
    }


async def test_while_the_broker_keeps_nothing_no_send_is_wasted(runtime: Runtime) -> None:
    await emit(runtime, "ord_1")
    await execute(runtime, MAKE_DUE)
    recorded(runtime).has_stream = False
    assert await runtime.outbox.resend_due() == 0
    recorded(runtime).has_stream = True
    assert await runtime.outbox.resend_due() == 1, "it did not wait for the next pause"


async def test_one_that_is_behind_gets_only_the_oldest_again(runtime: Runtime) -> None:
    recorded(runtime).backlogs["notification_svc"] = 30_000
    oldest = await emit(runtime, *[f"ord_{n}" for n in range(20)])
    await emit(runtime, *[f"ord_{n}" for n in range(20, 100)])
    await execute(runtime, MAKE_DUE)
    assert await runtime.outbox.resend_due() == 20
    assert {each.id for each in recorded(runtime).take()} == {event.id for event in oldest}


async def test_30_000_events_for_one_that_fails_do_not_hold_up_what_is_owed_to_another(
    runtime: Runtime,
) -> None:
    """Nor those for one that is away: in the turn in which the lost event is noted, it is sent."""
    await execute(
        runtime,
        "INSERT INTO outbox (event_id, type, aggregate, payload, correlation_id, traceparent, overdue_at)"
        " SELECT 'evt_' || n, 'order.completed', 'order/ord_' || n, '', '', '', now() - interval '1 second'"
        " FROM generate_series(1, 30000) AS n",
    )
    recorded(runtime).down = True
    await reserve(runtime, "ord_1")
    recorded(runtime).down = False
    await execute(runtime, "UPDATE outbox SET overdue_at = now() WHERE type = 'stock.reserved'")
    noted = "SELECT event_id FROM resends JOIN outbox USING (event_id) WHERE type = 'stock.reserved'"
    while not await rows(runtime, noted):
        await runtime.outbox.resend_due()
    lost = [sent for sent in recorded(runtime).take() if sent.type.name == "stock.reserved"]
    assert {sent.to for sent in lost} == {"payment_svc", "order_svc"}


async def test_what_is_owed_to_a_consumer_that_is_gone_is_dropped_and_nothing_else(runtime: Runtime) -> None:
    recorded(runtime).backlogs = dict.fromkeys(set[str]().union(*CONSUMERS.values()))
    await reserve(runtime, "ord_1", "ord_2")
    await emit(runtime, "ord_3")
    successor = successor_of(runtime, recorded(runtime))
    await execute(runtime, MAKE_DUE)
    await successor.resend_due()

    async def owed() -> list[tuple[object, ...]]:
        return await rows(runtime, "SELECT consumer, event_id FROM resends ORDER BY consumer, event_id")

    before = await owed()
    others = [row for row in before if row[0] != "payment_svc"]
    assert (len(before), len(others)) == (5, 3)
    async with runtime.database.connection() as connection:
        assert await outbox_module.drop(connection, "payment_svc", but=["stock.reserved"]) == 0
        assert await owed() == before, "it still acts on it"
        assert await outbox_module.drop(connection, "payment_svc", but=[]) == 2
        assert await owed() == others
        assert len(await rows(runtime, "SELECT event_id FROM outbox")) == 3, "others are still owed them"
        assert await outbox_module.drop(connection, "order_svc", but=["order.completed"]) == 2
    assert await rows(runtime, "SELECT type FROM outbox") == [("order.completed",)]


async def week_old(runtime: Runtime, *order_ids: str) -> list[str]:
    """Emit events, let a week pass, have them parked and return their ids."""
    events = await emit(runtime, *order_ids)
    await execute(runtime, f"UPDATE outbox SET created_at = now() - interval '{RESEND_DAYS} days'")
    await execute(runtime, MAKE_DUE)
    assert await runtime.outbox.resend_due() == 0
    assert await runtime.outbox.park_old() == len(order_ids)
    return [event.id for event in events]


async def unparked(runtime: Runtime, *, forgotten_too: bool = False) -> Unparked:
    """Have all that is parked sent again to a consumer whose inbox is in the same database."""
    async with runtime.database.connection() as sender, runtime.database.connection() as receiver:
        return await unpark(sender, receiver, "notification_svc", forgotten_too=forgotten_too)


async def test_a_sender_that_is_back_after_more_than_a_week_sends_nothing_that_old(runtime: Runtime) -> None:
    """Its consumers may have acted on it and forgotten that."""
    await emit(runtime, "ord_1")
    await execute(
        runtime,
        "UPDATE outbox SET created_at = now() - interval '9 days', overdue_at = now() - interval '9 days'",
    )
    bus = RecordingBus()
    assert await successor_of(runtime, bus).resend_due() == 0
    assert bus.published == []


async def test_what_was_owed_for_a_week_is_parked_until_a_person_has_it_sent_again(runtime: Runtime) -> None:
    [event_id] = await week_old(runtime, "ord_1")
    assert await runtime.outbox.park_old() == 0
    await execute(runtime, MAKE_DUE)
    assert await runtime.outbox.resend_due() == 0
    assert await rows(runtime, "SELECT event_id FROM outbox") == [(event_id,)]

    assert await unparked(runtime) == Unparked(sent=1)
    assert await runtime.outbox.resend_due() == 1
    assert await runtime.outbox.park_old() == 0, "it has another week"


async def test_what_its_consumer_has_acted_on_is_not_sent_again_but_done(runtime: Runtime) -> None:
    done, open_ = await week_old(runtime, "ord_1", "ord_2")
    await runtime.database.transact(lambda c: inbox.admit(c, "notification_svc", [done]))
    assert await unparked(runtime) == Unparked(sent=1, done=1)
    assert await rows(runtime, "SELECT event_id FROM outbox") == [(open_,)]
    assert await runtime.outbox.resend_due() == 1


async def test_what_its_consumer_may_have_forgotten_stays_parked_unless_a_person_says_so(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> None:
    database = service_database(SAMPLE)
    runtime = await service_runtime(SAMPLE, emits=[OrderCompleted], consumers=CONSUMERS, database=database)
    await week_old(runtime, "ord_1")
    with psycopg.connect(database.superuser_url) as connection:
        # Its day has gone from the inbox; what was there before there were days says nothing.
        for (part,) in connection.execute("SELECT part::text FROM partitions_of('inbox')").fetchall():
            connection.execute(f"DROP TABLE {part}".encode())
        connection.execute(
            "CREATE TABLE inbox_before PARTITION OF inbox FOR VALUES FROM ('evt_') TO ('evt_Z');"
        )
    assert await unparked(runtime) == Unparked(forgotten=1)
    assert await runtime.outbox.resend_due() == 0
    assert await unparked(runtime, forgotten_too=True) == Unparked(sent=1)
    assert await runtime.outbox.resend_due() == 1


async def test_much_is_parked_and_sent_again_some_at_a_time(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it is, no statement takes longer than one of ours may."""
    monkeypatch.setattr(outbox_module, "CHUNK", 3)
    monkeypatch.setattr(parked, "CHUNK", 3)
    await week_old(runtime, *[f"ord_{n}" for n in range(10)])
    commits = "SELECT count(DISTINCT xmin::text) FROM resends"
    assert await rows(runtime, commits) == [(4,)]
    assert await unparked(runtime) == Unparked(sent=10)
    assert await rows(runtime, commits) == [(4,)]
    assert await runtime.outbox.resend_due() == 10


async def test_two_processes_that_hear_of_the_last_two_consumers_at_once_leave_nothing(
    runtime: Runtime,
) -> None:
    sent = await reserve(runtime, *[f"ord_{n}" for n in range(50)])
    ids = [event.id for event in sent]
    await execute(runtime, MAKE_DUE)
    await runtime.outbox.resend_due()
    others = [successor_of(runtime, RecordingBus()) for _ in range(2)]
    others[0].confirm("payment_svc", ids)
    others[1].confirm("order_svc", reversed(ids))
    await asyncio.gather(*[other.forget_confirmed() for other in others])
    assert await nothing_is_owed(runtime)


async def test_what_is_owed_of_an_event_that_is_gone_is_forgotten(runtime: Runtime) -> None:
    """Confirmed by all to its sender while another process noted it as overdue."""
    await execute(
        runtime,
        "INSERT INTO resends (event_id, consumer, next_send_at, owed_since)"
        " VALUES ('evt_gone', 'notification_svc', now(), now())",
    )
    assert await runtime.outbox.resend_due() == 0
    await runtime.outbox.forget_confirmed()
    assert await nothing_is_owed(runtime)


async def test_a_sender_that_hears_late_from_all_takes_what_others_noted_with_it(runtime: Runtime) -> None:
    [event] = await emit(runtime, "ord_1")
    await execute(runtime, MAKE_DUE)
    await successor_of(runtime, RecordingBus()).resend_due()
    runtime.outbox.confirm("notification_svc", [event.id])
    await runtime.outbox.forget_confirmed()
    assert await nothing_is_owed(runtime)


async def test_what_was_not_forgotten_because_its_worker_ended_is_forgotten_at_the_end(
    runtime: Runtime,
) -> None:
    [forgotten] = await emit(runtime, "ord_1")
    [settled] = await emit(runtime, "ord_2")
    await execute(runtime, MAKE_DUE)
    await successor_of(runtime, RecordingBus()).resend_due()
    runtime.outbox.confirm("notification_svc", [forgotten.id, settled.id])
    async with runtime.database.connection() as other, other.transaction():
        await other.execute("SELECT FROM outbox FOR UPDATE")
        worker = asyncio.create_task(runtime.outbox.forget_confirmed())
        await eventually(lambda: somebody_waits(runtime), "it waits for the rows")
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
    await runtime.outbox.finish()
    assert await nothing_is_owed(runtime)


async def somebody_waits(runtime: Runtime) -> bool:
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE"
    return bool(await rows(runtime, f"{waiting} datname = current_database())"))


async def test_at_its_end_a_process_waits_for_the_last_confirmations(runtime: Runtime) -> None:
    [event] = await emit(runtime, "ord_1")
    ending = asyncio.create_task(runtime.outbox.finish())
    await asyncio.sleep(0)
    assert not ending.done()
    runtime.outbox.confirm("notification_svc", [event.id])
    await ending
    assert await nothing_is_owed(runtime)


async def test_at_its_end_a_process_does_not_wait_for_ever(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_LAST_CONFIRMATIONS_S", 0.01)
    await emit(runtime, "ord_1")
    await runtime.outbox.finish()
    assert len(await rows(runtime, "SELECT * FROM outbox")) == 1
