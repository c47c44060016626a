"""A replica is one more process with the same settings: it shares the work, and its death costs seconds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
import psycopg
import pytest
from florin.common.v1.charge_pb2 import ChargeInstruction
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging import inbox
from kit.messaging.events import Aggregate, NewEvent, Received, event_types
from kit.messaging.pump import Subscriptions
from kit.messaging.step import Step
from kit.messaging.stream import STREAM
from kit.runtime.context import Runtime
from kit.runtime.settings import ContextSettings
from kit.store.database import Connection, Outdated
from kit.values.trail import Trail
from tests.integration.kit.sample import CONSUMERS, SAMPLE, itself, rows
from tests.support.databases import ServiceDatabase
from tests.support.service import NOWHERE
from tests.support.stores import free_port
from tests.support.waiting import eventually

CONSUMER: Final = "notification_svc"


@asynccontextmanager
async def working(runtime: Runtime) -> AsyncIterator[Runtime]:
    """Open a context, let it work, and close it as its process does."""
    await runtime.open()
    runtime.start()
    try:
        yield runtime
    finally:
        await runtime.close()


def sender_of(database: ServiceDatabase, nats_url: str) -> Runtime:
    """Return a context that emits what the consumer acts on."""
    settings = ContextSettings(database_url=database.url, nats_url=nats_url, redis_url=NOWHERE)
    emits = event_types(OrderCompleted, OrderFailed)
    return Runtime("order_svc", settings, emits=emits, consumers=CONSUMERS)


def replica_of(
    database: ServiceDatabase, nats_url: str, subscriptions: Subscriptions[Step], linger_ms: int = 0
) -> Runtime:
    """Return one replica of the consumer."""
    settings = ContextSettings(
        database_url=database.url, nats_url=nats_url, redis_url=NOWHERE, event_linger_ms=linger_ms
    )
    runtime = Runtime(CONSUMER, settings, emits=(), consumers=CONSUMERS)
    runtime.consume(subscriptions, itself)
    return runtime


async def complete(sender: Runtime, *order_ids: str) -> None:
    """Emit OrderCompleted for each order."""
    charge = ChargeInstruction(merchant_id="mer_demo", amount=1999, currency="EUR", receipt_email="a@b.c")

    async def body(step: Step) -> None:
        step.emit(
            [
                NewEvent(OrderCompleted(order_id=o, charge=charge), Aggregate("order", o), Trail("cor_1"))
                for o in order_ids
            ]
        )

    await sender.steps.take(body)


async def durables(nats_url: str) -> list[str]:
    """Return the names of the durable consumers that the broker has."""
    client = await nats.connect(nats_url)
    try:
        return [each.name for each in await client.jetstream().consumers_info(STREAM)]
    finally:
        await client.close()


async def record(step: Step, completed: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
    """Write a row for each order."""
    await step.connection.execute(
        "INSERT INTO effects (order_id, times) SELECT id, 1 FROM unnest(%s::text[]) AS id",
        ([event.message.order_id for event in completed],),
    )
    return []


async def test_a_changed_number_of_replicas_under_load_reads_nothing_again_and_leaves_no_durable(
    service_database: Callable[[str], ServiceDatabase], nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()
    admit = inbox.admit

    async def counted(connection: Connection, consumer: str, event_ids: Sequence[str]) -> frozenset[str]:
        seen.update(event_ids)
        return await admit(connection, consumer, event_ids)

    monkeypatch.setattr(inbox, "admit", counted)
    database = service_database(SAMPLE)
    stop = asyncio.Event()
    sent: list[str] = []

    async def steadily(sender: Runtime) -> None:
        while not stop.is_set():
            order_ids = [f"ord_{len(sent) + n:05}" for n in range(10)]
            await complete(sender, *order_ids)
            sent.extend(order_ids)
            await asyncio.sleep(0.01)

    async def has_handled(share: Runtime, more: int) -> None:
        """Wait until a replica has a part in the work."""
        before = len(sent)
        await eventually(lambda: len(seen) >= before + more, "more events are handled")

    def replica() -> Runtime:
        return replica_of(database, nats_url, {OrderCompleted: record}, linger_ms=5)

    async with working(sender_of(service_database(SAMPLE), nats_url)) as sender:
        load = asyncio.create_task(steadily(sender))
        async with working(replica()) as first:
            await has_handled(first, 100)
            async with working(replica()) as second, working(replica()) as third:
                await has_handled(second, 200)
                await has_handled(third, 200)
            await has_handled(first, 100)
            stop.set()
            await load
            await eventually(lambda: len(seen) == len(sent), "all events are handled")

            async def nothing_is_owed() -> bool:
                return await rows(sender, "SELECT * FROM outbox") == []

            await eventually(nothing_is_owed, "all events are confirmed")
            assert sorted(str(r[0]) for r in await rows(first, "SELECT order_id FROM effects")) == sent
    assert [event_id for event_id, times in seen.items() if times > 1] == [], "each came once"
    assert await durables(nats_url) == [CONSUMER]


async def test_two_replicas_with_the_events_of_one_order_double_nothing(
    service_database: Callable[[str], ServiceDatabase], nats_url: str
) -> None:
    """Each order's row is read, then written under the version that was read: losers begin again."""
    conflicts = 0
    worked: Counter[int] = Counter()

    def handler_of(number: int) -> Callable[[Step, Sequence[Received[Any]]], Any]:
        async def count(step: Step, events: Sequence[Received[Any]]) -> list[NewEvent]:
            nonlocal conflicts
            conflicts += step.attempt > 1
            worked[number] += len(events)
            more = Counter(event.message.order_id for event in events)
            cursor = await step.connection.execute(
                "SELECT order_id, times FROM effects WHERE order_id = ANY(%s)", (sorted(more),)
            )
            known: dict[str, int] = {str(row[0]): int(row[1]) for row in await cursor.fetchall()}
            await asyncio.sleep(0)
            for order_id in sorted(more):
                cursor = await step.connection.execute(
                    "UPDATE effects SET times = %s WHERE order_id = %s AND times = %s",
                    (known[order_id] + more[order_id], order_id, known[order_id]),
                )
                if cursor.rowcount == 0:
                    raise Outdated(f"{order_id} was changed meanwhile")
            return []

        return count

    database = service_database(SAMPLE)
    replicas = []
    for number in range(2):
        handle = handler_of(number)
        replicas.append(replica_of(database, nats_url, {OrderCompleted: handle, OrderFailed: handle}))
    order_ids = [f"ord_{n:03}" for n in range(100)]
    async with (
        working(sender_of(service_database(SAMPLE), nats_url)) as sender,
        working(replicas[0]) as one,
        working(replicas[1]),
    ):
        async with one.database.connection() as connection:
            await connection.execute(
                "INSERT INTO effects (order_id, times) SELECT id, 1 FROM unnest(%s::text[]) AS id",
                (order_ids,),
            )

        async def happen(some: Sequence[str]) -> None:
            async def body(step: Step) -> None:
                step.emit(
                    [
                        NewEvent(kind(order_id=order_id), Aggregate("order", order_id), Trail("cor_1"))
                        for order_id in some
                        for kind in (OrderCompleted, OrderFailed) * 2
                    ]
                )

            await sender.steps.take(body)

        for start in range(0, 100, 10):
            await happen(order_ids[start : start + 10])

        async def all_are_counted() -> bool:
            return await rows(one, "SELECT DISTINCT times FROM effects") == [(5,)]

        await eventually(all_are_counted, "each of four events is counted once for each order")

        async def nothing_is_owed() -> bool:
            return await rows(sender, "SELECT * FROM outbox") == []

        await eventually(nothing_is_owed, "all events are confirmed")
        assert await rows(one, "SELECT * FROM dead_letters") == []
    print(f"{conflicts} batches lost a race, {dict(worked)} events were handled")
    assert min(worked.values()) > 0, "both had a part in it"


async def test_what_a_killed_replica_held_is_done_by_the_other_within_10_seconds(
    service_database: Callable[[str], ServiceDatabase], nats_url: str, postgres_url: str, tmp_path: Path
) -> None:
    database = service_database(CONSUMER)
    environment = {
        **os.environ,
        "FLORIN_DATABASE_URL": database.url,
        "FLORIN_NATS_URL": nats_url,
        "FLORIN_REDIS_URL": NOWHERE,
        "FLORIN_MAILBOX_DIR": str(tmp_path),
    }

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", CONSUMER, "serve"),
            env={**environment, "FLORIN_NOTIFICATION_PORT": str(free_port())},
        )

    async with (
        working(sender_of(service_database(SAMPLE), nats_url)) as sender,
        await psycopg.AsyncConnection.connect(database.owner_url, autocommit=True) as owner,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as watch,
    ):
        replicas = [await start() for _ in range(2)]
        try:

            async def both_wait() -> bool:
                client = await nats.connect(nats_url)
                try:
                    known = await client.jetstream().consumer_info(STREAM, CONSUMER)
                    return bool(known.num_waiting == 2)
                except nats.js.errors.NotFoundError:
                    return False
                finally:
                    await client.close()

            await eventually(both_wait, "both replicas wait for events")
            async with owner.transaction():
                # Whoever has a batch cannot commit it.
                await owner.execute("LOCK TABLE inbox IN EXCLUSIVE MODE")
                await complete(sender, *[f"ord_{n:03}" for n in range(200)])

                async def both_hold_a_batch() -> bool:
                    cursor = await watch.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
                        " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO inbox%%'",
                        (database.name,),
                    )
                    return await cursor.fetchone() == (2,)

                await eventually(both_hold_a_batch, "both replicas hold events")
                replicas[0].kill()
                await replicas[0].wait()

            async def all_is_done() -> bool:
                cursor = await owner.execute("SELECT count(*), count(DISTINCT order_id) FROM deliveries")
                return await cursor.fetchone() == (200, 200)

            await eventually(all_is_done, "the other has done it all", deadline_s=10)

            async def nothing_is_owed() -> bool:
                return await rows(sender, "SELECT * FROM outbox") == []

            await eventually(nothing_is_owed, "all events are confirmed", deadline_s=10)
        finally:
            for replica in replicas:
                if replica.returncode is None:
                    replica.kill()
                    await replica.wait()
