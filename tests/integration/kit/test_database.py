"""A database that goes away, changes its role or says nothing: told as that, in time, and gone by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from kit.rpc.status import florin_error
from kit.store.database import STORE_UNAVAILABLE, Connection, Database, StatementRefused
from tests.support.databases import ServiceDatabase
from tests.support.proxy import Proxy, proxy_to
from tests.support.waiting import eventually

SAMPLE = "tests.support.sample_svc"

# Whoever waits for longer than this waits for the kernel, which takes a quarter of an hour.
BOUNDED_S = 15.0

ServiceDatabaseFactory = Callable[[str], ServiceDatabase]


@asynccontextmanager
async def opened(url: str, **more: Any) -> AsyncIterator[Database]:
    database = Database(url, **more)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
def address(service_database: ServiceDatabaseFactory) -> ServiceDatabase:
    return service_database(SAMPLE)


async def ask(connection: Connection) -> int:
    row = await (await connection.execute("SELECT 1")).fetchone()
    assert row is not None
    return int(row[0])


async def read(database: Database) -> int:
    async with database.connection() as connection:
        return await ask(connection)


async def works(database: Database) -> bool:
    try:
        return await database.transact(ask) == 1 and await read(database) == 1
    except STORE_UNAVAILABLE:
        return False


def superuser(address: ServiceDatabase, *statements: str) -> None:
    with psycopg.connect(address.superuser_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
async def network(address: ServiceDatabase) -> AsyncIterator[Proxy]:
    async with proxy_to(address.url) as proxy:
        yield proxy


async def test_packets_that_are_dropped_end_a_step_and_a_read_in_bounded_time(
    address: ServiceDatabase, network: Proxy
) -> None:
    async with opened(network.url(address.url)) as database:
        assert await works(database)
        network.swallow()
        async with asyncio.timeout(BOUNDED_S):
            tried = await asyncio.gather(
                database.transact(ask), read(database), read(database), return_exceptions=True
            )
        for error in tried:
            assert isinstance(error, Exception)
            assert florin_error(error).reason == "STORE_UNAVAILABLE", repr(error)
        network.flow()
        await eventually(lambda: works(database), "it works again")


async def test_a_caller_who_goes_away_meanwhile_is_not_held_up_either(
    address: ServiceDatabase, network: Proxy
) -> None:
    async with opened(network.url(address.url)) as database:
        reading = asyncio.create_task(read(database))
        assert await reading == 1
        network.swallow()
        reading = asyncio.create_task(read(database))
        await asyncio.wait([reading], timeout=0.2)
        reading.cancel()
        done, _ = await asyncio.wait([reading], timeout=BOUNDED_S / 3)
        assert done
        network.flow()
        await eventually(lambda: works(database), "it works again")


async def test_one_connection_without_an_answer_speaks_for_all_of_them(
    address: ServiceDatabase, network: Proxy
) -> None:
    """Or each of those that lie in the pool would cost somebody a time-out of their own."""
    async with opened(network.url(address.url)) as database:
        await asyncio.gather(*[database.transact(_sleep) for _ in range(4)])
        network.swallow()
        with pytest.raises(STORE_UNAVAILABLE):
            await read(database)
        before = network.accepted
        network.flow()
        await eventually(lambda: works(database), "it works again")
        assert await asyncio.gather(*[read(database) for _ in range(8)]) == [1] * 8
        assert network.accepted > before


async def test_a_step_that_lost_its_connection_for_good_is_not_in_the_way_of_its_repetition(
    address: ServiceDatabase, network: Proxy
) -> None:
    """What waits for the locks of a transaction that nobody ends is taken for wrong itself."""

    async def locks(connection: Connection) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock(1)")

    async def loses_its_connection(connection: Connection) -> None:
        await locks(connection)
        network.lose()
        await ask(connection)

    async with opened(network.url(address.url)) as database:
        with pytest.raises(STORE_UNAVAILABLE):
            await database.transact(loses_its_connection)
        await database.transact(locks)


async def _sleep(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(0.1)")


async def test_a_primary_that_has_become_a_standby_is_waited_for_and_looked_for_anew(
    address: ServiceDatabase,
) -> None:
    async with opened(address.url, max_connections=1) as database:
        await database.transact(_write)
        # What a session sees of a primary that was stepped down: it may read, and write no more.
        superuser(address, f"ALTER ROLE {address.name} SET default_transaction_read_only = on")
        await _become_read_only(database)
        with pytest.raises(STORE_UNAVAILABLE) as refused:
            await database.transact(_write)
        assert florin_error(refused.value).reason == "STORE_UNAVAILABLE"
        superuser(address, f"ALTER ROLE {address.name} RESET default_transaction_read_only")

        async def writes() -> bool:
            try:
                await database.transact(_write)
            except STORE_UNAVAILABLE:
                return False
            return True

        await eventually(writes, "it has found one that takes writes")


async def _become_read_only(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")


async def _write(connection: Connection) -> None:
    await connection.execute("INSERT INTO effects VALUES ('ord_1', 1) ON CONFLICT DO NOTHING")


async def test_a_standby_is_no_place_to_work_in(address: ServiceDatabase, monkeypatch: Any) -> None:
    monkeypatch.setattr("kit.store.database._OPEN_DEADLINE_S", 0.5)
    superuser(address, f"ALTER ROLE {address.name} SET default_transaction_read_only = on")
    with pytest.raises(STORE_UNAVAILABLE):
        await Database(address.url).open()


async def test_a_transaction_that_was_ended_while_it_stood_idle_is_the_stores_matter(
    address: ServiceDatabase,
) -> None:
    async def slow(connection: Connection) -> None:
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
        await asyncio.sleep(0.3)  # What is waited for is that nothing happens.
        await connection.execute("SELECT 1")

    async with opened(address.url) as database:
        with pytest.raises(STORE_UNAVAILABLE):
            await database.transact(slow)
        assert await works(database)


@pytest.mark.parametrize("in_transaction", [True, False])
async def test_a_table_that_was_changed_costs_nobody_an_answer(
    address: ServiceDatabase, in_transaction: bool
) -> None:
    async def look(connection: Connection) -> int:
        return len(await (await connection.execute("SELECT * FROM effects")).fetchall())

    async def once(database: Database) -> int:
        if in_transaction:
            return await database.transact(look)
        async with database.connection() as connection:
            return await look(connection)

    async with opened(address.url, max_connections=1) as database:
        for _ in range(3):
            await once(database)
        superuser(address, "ALTER TABLE effects ADD COLUMN more text")
        assert await once(database) == 0


async def test_a_statement_that_takes_too_long_is_ended_by_the_role_and_is_its_own_fault(
    address: ServiceDatabase,
) -> None:
    superuser(address, f"ALTER ROLE {address.name} IN DATABASE {address.name} SET statement_timeout = '50ms'")
    async with opened(address.url) as database:
        with pytest.raises(StatementRefused) as refused:
            await database.transact(_sleep)
        assert refused.value.took_too_long


async def test_bulk_work_may_ask_for_more_time_and_leaves_nothing_of_it_behind(
    address: ServiceDatabase,
) -> None:
    superuser(address, f"ALTER ROLE {address.name} IN DATABASE {address.name} SET statement_timeout = '50ms'")
    async with opened(address.url, max_connections=1) as database:
        async with database.patient(statement_s=10.0) as connection:
            await _sleep(connection)
        with pytest.raises(StatementRefused):
            async with database.connection() as connection:
                await _sleep(connection)


async def test_a_role_has_its_limits_without_being_told_at_each_connection(address: ServiceDatabase) -> None:
    with psycopg.connect(address.url) as connection:
        for name, wanted in (("statement_timeout", "3s"), ("enable_seqscan", "off")):
            assert connection.execute(f"SHOW {name}".encode()).fetchone() == (wanted,)
