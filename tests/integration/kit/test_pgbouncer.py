"""Behind a PgBouncer that pools transactions, where each step may get another session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging.events import event_types
from kit.store.database import STORE_UNAVAILABLE, Connection, Database
from tests.integration.kit.sample import CONSUMERS, SAMPLE, SUBSCRIPTIONS, effects, itself
from tests.support.databases import ServiceDatabase
from tests.support.pgbouncer import PROGRAM, pgbouncer
from tests.support.service import RecordingRuntime, Scenario, envelope_of, pump_of
from tests.support.stores import Store, Stores
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no `pgbouncer` on this machine")


@pytest.fixture
def address(service_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return service_database(SAMPLE)


@pytest.fixture
def pooler(private_stores: Stores, address: ServiceDatabase) -> Store:
    return private_stores.private(pgbouncer(private_stores.postgres, address.name))


@pytest.fixture
def pooled_url(pooler: Store, address: ServiceDatabase) -> str:
    parts = urlsplit(address.url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{pooler.port}"))


async def test_steps_and_reads_get_along_with_sessions_that_change(pooled_url: str) -> None:
    async def step(connection: Connection, order_id: str) -> str:
        await connection.execute("INSERT INTO effects VALUES (%s, 1)", (order_id,))
        row = await (
            await connection.execute("SELECT order_id FROM effects WHERE order_id = %s", (order_id,))
        ).fetchone()
        assert row is not None
        return str(row[0])

    async def read(database: Database) -> str:
        async with database.connection() as connection:
            row = await (await connection.execute("SELECT current_setting('statement_timeout')")).fetchone()
        assert row is not None
        return str(row[0])

    database = Database(pooled_url, pooled=True)
    await database.open()
    try:
        ids = [f"ord_{number}" for number in range(60)]
        steps = [database.transact(lambda connection, id_=id_: step(connection, id_)) for id_ in ids]  # type: ignore[misc]
        reads = [read(database) for _ in ids]
        answers = await asyncio.gather(*steps, *reads)
        assert answers == [*ids, *["3s"] * len(ids)], "each its own, under the limits of the role"
        async with database.patient(statement_s=10) as connection:
            await connection.execute("SELECT pg_sleep(0.01)")
        assert set(await asyncio.gather(*[read(database) for _ in range(8)])) == {"3s"}
    finally:
        await database.close()


async def test_a_service_takes_events_behind_it(pooled_url: str) -> None:
    emits = event_types(OrderCompleted, OrderFailed)
    runtime = RecordingRuntime(SAMPLE, pooled_url, emits, CONSUMERS, database_pooled=True)
    await runtime.database.open()
    shop = Scenario(runtime, pump_of(runtime, SUBSCRIPTIONS, itself))
    for number in range(20):
        await shop.when(envelope_of(OrderCompleted(order_id=f"ord_{number:02}")), times=2)
    assert await effects(runtime) == [f"ord_{number:02}" for number in range(20)]
    await runtime.outbox.resend_due()
    await runtime.database.close()


async def test_a_pooler_that_is_restarted_is_waited_for(pooled_url: str, pooler: Store) -> None:
    database = Database(pooled_url, pooled=True)
    await database.open()

    async def works() -> bool:
        async with database.connection() as connection:
            return (await connection.execute("SELECT 1")).rowcount == 1

    assert await works()
    await asyncio.to_thread(pooler.kill)
    await asyncio.to_thread(pooler.start)

    async def works_again() -> bool:
        try:
            return await works()
        except STORE_UNAVAILABLE:
            return False

    await eventually(works_again, "it works again")
    await database.close()
