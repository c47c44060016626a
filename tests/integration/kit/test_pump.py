"""Each event has its effect once; a bad one harms nobody else; none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from nats.aio.msg import Msg

from kit.messaging.envelope import Envelope
from kit.messaging.events import Aggregate, NewEvent, Received
from kit.messaging.outbox import RESEND_PAUSES
from kit.messaging.pump import MAX_ATTEMPTS, PATIENCE_S, Pump, Subscriptions
from kit.messaging.step import Step, to_the_end
from kit.store.database import Database
from kit.values.ids import new_id
from kit.values.trail import Trail
from tests.conftest import RecordingRuntimeFactory
from tests.integration.kit.sample import POISONED, SAMPLE, SUBSCRIPTIONS, effects, execute, itself, rows
from tests.support.databases import ServiceDatabases
from tests.support.service import (
    RecordingRuntime,
    Scenario,
    delivered,
    envelope_of,
    pump_of,
    recorded,
)
from tests.support.stores import Postgres


@pytest.fixture
def shop(runtime: RecordingRuntime) -> Scenario[Step]:
    return Scenario(runtime, pump_of(runtime, SUBSCRIPTIONS, itself))


def completed(order_id: str, attempt: int = 1) -> Envelope:
    return envelope_of(OrderCompleted(order_id=order_id), attempt=attempt)


def confirmed(runtime: RecordingRuntime) -> set[str]:
    return {event_id for _, _, ids in recorded(runtime).confirmed for event_id in ids}


async def test_effect_inbox_and_outbox_commit_together_and_then_the_sender_is_told(
    shop: Scenario[Step],
) -> None:
    event = completed("ord_1")
    await shop.when(event)
    shop.then(OrderFailed(order_id="ord_1"))
    assert await effects(shop.runtime) == ["ord_1"]
    assert await shop.rows("SELECT consumer, event_id FROM inbox") == [("sample_svc", event.id)]
    assert recorded(shop.runtime).confirmed == [("sample_svc", "confirm.test", [event.id])]


async def test_a_redelivered_event_has_no_second_effect_and_is_confirmed_again(shop: Scenario[Step]) -> None:
    event = completed("ord_1")
    await shop.given(event, event)
    await shop.when(replace(event, attempt=2))
    shop.then_nothing()
    assert await effects(shop.runtime) == ["ord_1"]
    assert len(recorded(shop.runtime).confirmed) == 2


async def test_two_replicas_with_the_same_events_have_one_effect_each(runtime: RecordingRuntime) -> None:
    events = [completed(f"ord_{n:02}") for n in range(40)]
    pumps = [
        Pump(
            bus=runtime.bus,
            steps=runtime.steps,
            consumer=runtime.name,
            subscriptions=SUBSCRIPTIONS,
            scope=itself,
            new_id=new_id,
        )
        for _ in range(4)
    ]
    orders = [events, events[::-1], events[20:] + events[:20], events]
    await asyncio.gather(
        *[
            pump.handle([delivered(event) for event in order])
            for pump, order in zip(pumps, orders, strict=True)
        ]
    )
    assert await effects(runtime) == [f"ord_{n:02}" for n in range(40)]


async def test_two_replicas_that_take_the_same_rows_do_not_wait_for_each_other_in_a_circle(
    runtime: RecordingRuntime,
) -> None:
    """Each has an event for either handler; what the first holds here, the second wants there."""
    runs: list[str] = []
    held: set[str] = set()
    both_hold = asyncio.Event()

    async def take(step: Step, event: Received[Any]) -> None:
        runs.append(event.message.order_id)
        await step.connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (event.message.order_id,))

    async def first(step: Step, events: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
        for event in events:
            await take(step, event)
            held.add(event.message.order_id)
        if len(held) == 2:
            both_hold.set()
        await both_hold.wait()
        return []

    async def second(step: Step, events: Sequence[Received[OrderFailed]]) -> list[NewEvent]:
        for event in events:
            await take(step, event)
        return []

    handlers: Subscriptions[Step] = {OrderCompleted: first, OrderFailed: second}
    await asyncio.gather(
        *[
            pump_of(runtime, handlers, itself).handle(
                [delivered(completed(mine)), delivered(OrderFailed(order_id=others))]
            )
            for mine, others in (("ord_1", "ord_2"), ("ord_2", "ord_1"))
        ]
    )
    assert sorted(runs) == ["ord_1", "ord_1", "ord_2", "ord_2"], "nobody had to begin again"


async def test_one_bad_event_of_a_batch_fails_alone_and_is_not_confirmed(shop: Scenario[Step]) -> None:
    first, bad, last = completed("ord_1"), completed(POISONED), completed("ord_2")
    await shop.when(first, bad, last)
    shop.then(OrderFailed(order_id="ord_1"), OrderFailed(order_id="ord_2"))
    assert await effects(shop.runtime) == ["ord_1", "ord_2"]
    assert confirmed(shop.runtime) == {first.id, last.id}
    assert await shop.rows("SELECT * FROM dead_letters") == []


class Patience:
    """A pump that fails, and the time that passes for it."""

    def __init__(self, runtime: RecordingRuntime) -> None:
        self.runtime = runtime
        self.now_s = 0.0
        self.bad = completed(POISONED)
        self._pump = Pump(
            bus=runtime.bus,
            steps=runtime.steps,
            consumer=runtime.name,
            subscriptions=SUBSCRIPTIONS,
            scope=itself,
            new_id=new_id,
            monotonic=lambda: self.now_s,
        )

    async def receives(self, *attempts: int) -> None:
        """Hand it the sends of the bad event with these numbers, as one batch."""
        await self._pump.handle([delivered(replace(self.bad, attempt=attempt)) for attempt in attempts])

    async def letters(self) -> list[tuple[object, ...]]:
        return await rows(
            self.runtime, "SELECT event_id, type, aggregate, payload, attempts, error FROM dead_letters"
        )


async def test_an_event_that_keeps_failing_for_all_its_sends_is_buried_with_the_last_and_confirmed(
    runtime: RecordingRuntime,
) -> None:
    patience = Patience(runtime)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert await patience.letters() == []
        await patience.receives(attempt)
        patience.now_s += RESEND_PAUSES.after(attempt - 1)
    [(event_id, type_, about, payload, attempts, error)] = await patience.letters()
    assert (event_id, type_, about) == (patience.bad.id, "order.completed", f"order/{POISONED}")
    assert attempts == MAX_ATTEMPTS
    assert payload == patience.bad.payload
    assert "effects_times_check" in str(error)
    assert patience.bad.id in confirmed(runtime), "its sender can stop"
    await patience.receives(MAX_ATTEMPTS)
    assert len(await patience.letters()) == 1


async def test_an_event_that_fails_at_one_replica_after_the_other_is_buried_all_the_same(
    runtime: RecordingRuntime,
) -> None:
    replicas = [Patience(runtime) for _ in range(12)]
    now_s = 0.0
    for attempt in range(1, 25):
        replica = replicas[attempt % len(replicas)]
        replica.bad, replica.now_s = replicas[0].bad, now_s
        await replica.receives(attempt)
        now_s += RESEND_PAUSES.after(attempt - 1)
    assert len(await replicas[0].letters()) == 1


async def test_copies_that_come_at_once_are_one_attempt(runtime: RecordingRuntime) -> None:
    """Whoever was away finds some in one batch, and more in the next."""
    patience = Patience(runtime)
    await patience.receives(*range(1, 2 * MAX_ATTEMPTS))
    for attempt in range(1, 2 * MAX_ATTEMPTS):
        await patience.receives(attempt)
    assert await patience.letters() == []
    patience.now_s += PATIENCE_S
    await patience.receives(MAX_ATTEMPTS)
    assert len(await patience.letters()) == 1


async def test_sends_that_reached_nobody_bury_nothing(runtime: RecordingRuntime) -> None:
    patience = Patience(runtime)
    await patience.receives(20 * MAX_ATTEMPTS)
    assert await patience.letters() == []


async def test_all_copies_of_a_batch_are_confirmed_each_to_whom_it_was_sent_by(
    shop: Scenario[Step],
) -> None:
    event = completed("ord_1")
    await shop.when(event, replace(event, attempt=2, confirm_to="confirm.other"))
    assert {(to, *ids) for _, to, ids in recorded(shop.runtime).confirmed} == {
        ("confirm.test", event.id),
        ("confirm.other", event.id),
    }


async def test_an_event_that_only_a_newer_version_knows_is_left_to_its_sender(
    runtime: RecordingRuntime,
) -> None:
    """While replicas are exchanged one by one, each gets what the others know."""
    new, known = delivered(completed("ord_new")), delivered(completed("ord_1"))
    assert new.headers is not None
    new.headers["ce-type"] = "florin.order.reopened"
    await pump_of(runtime, SUBSCRIPTIONS, itself).handle([new, known])
    assert await effects(runtime) == ["ord_1"]
    assert new.headers["ce-id"] not in confirmed(runtime)
    assert await rows(runtime, "SELECT * FROM dead_letters") == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce-type", "somebody.elses"),
        ("ce-time", "yesterday"),
        ("florin-attempt", "many"),
        ("ce-id", ""),
        ("ce-subject", "ord\0"),
    ],
)
async def test_an_unreadable_event_becomes_a_dead_letter_at_once_and_stops_nobody(
    runtime: RecordingRuntime, header: str, value: str
) -> None:
    poison, good = delivered(completed("ord_poison")), delivered(completed("ord_1"))
    poison.data = b"\xff not protobuf"
    assert poison.headers is not None
    poison.headers[header] = value
    pump = pump_of(runtime, SUBSCRIPTIONS, itself)
    await pump.handle([poison, good])
    assert await effects(runtime) == ["ord_1"]
    [(payload,)] = await rows(runtime, "SELECT payload FROM dead_letters")
    assert payload == poison.data


async def test_a_message_without_any_headers_stops_nobody(
    runtime: RecordingRuntime, shop: Scenario[Step]
) -> None:
    nonsense = [delivered(completed("ord_1")) for _ in range(2)]
    for number, message in enumerate(nonsense):
        message.headers, message.data = None, f"nonsense {number}".encode()
    pump = pump_of(runtime, SUBSCRIPTIONS, itself)
    await pump.handle(nonsense)
    assert len(await shop.rows("SELECT * FROM dead_letters")) == 2


async def test_a_statement_that_never_ends_is_its_events_own_fault_and_not_waited_for(
    runtime: RecordingRuntime,
) -> None:
    async def slow(step: Step, events: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
        if any(event.message.order_id == POISONED for event in events):
            await step.connection.execute("SET LOCAL statement_timeout = 50")
            await step.connection.execute("SELECT pg_sleep(10)")
        for event in events:
            await step.connection.execute("INSERT INTO effects VALUES (%s, 1)", (event.message.order_id,))
        return []

    shop = Scenario(runtime, pump_of(runtime, {OrderCompleted: slow}, itself))
    await shop.when(completed(POISONED), completed("ord_1"))
    assert await effects(runtime) == ["ord_1"]


async def test_handlers_of_one_batch_run_in_the_order_of_the_table(runtime: RecordingRuntime) -> None:
    ran: list[str] = []

    async def one(_: Step, events: Sequence[Received[OrderFailed]]) -> list[NewEvent]:
        ran.append(f"failed {[event.message.order_id for event in events]}")
        return []

    async def two(_: Step, events: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
        ran.append(f"completed {[event.message.order_id for event in events]}")
        return []

    shop = Scenario(runtime, pump_of(runtime, {OrderFailed: one, OrderCompleted: two}, itself))
    await shop.when(completed("ord_1"), OrderFailed(order_id="ord_2"), completed("ord_3"))
    assert ran == ["failed ['ord_2']", "completed ['ord_1', 'ord_3']"]


async def test_while_the_database_is_away_a_batch_waits_and_then_has_its_effect(
    own_postgres: Postgres, service_runtime: RecordingRuntimeFactory
) -> None:
    database = ServiceDatabases(own_postgres).create(SAMPLE)
    runtime = await service_runtime(SAMPLE, emits=[OrderFailed], database=database)
    shop = Scenario(runtime, pump_of(runtime, SUBSCRIPTIONS, itself))
    await shop.given(completed("ord_1"))
    own_postgres.stop()
    handling = asyncio.create_task(shop.when(completed("ord_2")))
    done, _ = await asyncio.wait([handling], timeout=1.0)
    assert not done, "it waits"
    own_postgres.start()
    await asyncio.wait_for(handling, 30)
    shop.then(OrderFailed(order_id="ord_2"))
    assert await effects(runtime) == ["ord_1", "ord_2"]


class LastWords:
    """A bus, and its pull, that brings nothing until it is closed, and then one event."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def pull(self, *_: object) -> LastWords:
        """Return itself as the pull."""
        return self

    async def take(self, *, linger_s: float) -> list[Msg]:
        """Wait for ever."""
        self.waits.set()
        await asyncio.Event().wait()
        return []

    async def close(self) -> list[Msg]:
        """Return what has come."""
        return [delivered(completed("ord_1"))]


async def test_a_pump_ends_though_its_store_is_away(
    own_postgres: Postgres, service_runtime: RecordingRuntimeFactory
) -> None:
    """What has come is left to its sender; whoever is ended has more to finish than this."""
    database = ServiceDatabases(own_postgres).create(SAMPLE)
    runtime = await service_runtime(SAMPLE, emits=[OrderFailed], database=database)
    bus = LastWords()
    pump = Pump(
        bus=cast("Any", bus),
        steps=runtime.steps,
        consumer=runtime.name,
        subscriptions=SUBSCRIPTIONS,
        scope=itself,
        new_id=new_id,
    )
    runtime.worker("pump", pump.run)
    runtime.start()
    await bus.waits.wait()
    own_postgres.stop()
    async with asyncio.timeout(60):
        await runtime._end_workers()
    own_postgres.start()
    assert await effects(runtime) == []


async def test_a_batch_that_has_begun_is_finished_before_its_worker_ends() -> None:
    began, finish, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def batch() -> None:
        began.set()
        await finish.wait()
        finished.set()

    worker = asyncio.create_task(to_the_end(batch()))
    await began.wait()
    worker.cancel()
    asyncio.get_running_loop().call_later(0.02, finish.set)
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert finished.is_set()


async def test_a_conflict_is_run_again_and_only_its_last_run_counts(runtime: RecordingRuntime) -> None:
    runs = 0

    async def conflicting(step: Step) -> int:
        nonlocal runs
        runs += 1
        failed = OrderFailed(order_id=f"ord_{runs}")
        step.emit([NewEvent(failed, Aggregate("order", f"ord_{runs}"), Trail("cor_1"))])
        await step.connection.execute("INSERT INTO effects VALUES (%s, 1)", (f"run {runs}",))
        if runs < 3:
            raise psycopg.errors.SerializationFailure("could not serialize access")
        return step.attempt

    assert await runtime.steps.take(conflicting) == 3
    assert await effects(runtime) == ["run 3"]
    assert [envelope.aggregate.id for envelope in recorded(runtime).take()] == ["ord_3"]


async def test_a_real_serialisation_failure_is_retried_until_both_transactions_have_counted(
    runtime: RecordingRuntime,
) -> None:
    await execute(runtime, "INSERT INTO effects VALUES ('counter', 1)")
    database: Database = runtime.database
    meet = asyncio.Barrier(2)
    met = False

    async def count() -> None:
        async def body(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
            nonlocal met
            await connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            cursor = await connection.execute("SELECT times FROM effects WHERE order_id = 'counter'")
            row = await cursor.fetchone()
            assert row is not None
            if not met:
                await meet.wait()
                met = True
            await connection.execute(
                "UPDATE effects SET times = %s WHERE order_id = 'counter'", (int(str(row[0])) + 1,)
            )

        await database.transact(body)

    await asyncio.gather(count(), count())
    assert await rows(runtime, "SELECT times FROM effects") == [(3,)]


async def test_a_traceparent_that_is_none_is_dropped_at_the_door(runtime: RecordingRuntime) -> None:
    seen: list[Trail] = []

    async def note(step: Step, events: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
        seen.extend(event.trail for event in events)
        return []

    shop = Scenario(runtime, pump_of(runtime, {OrderCompleted: note}, itself))
    await shop.given(envelope_of(OrderCompleted(order_id="ord_1"), trail=Trail("cor_1", "garbage")))
    assert seen == [Trail("cor_1", "")]
