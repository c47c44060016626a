"""What is asked often costs the same after weeks as on the first day: pages are counted, not milliseconds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest

from bench.made_rows import Weeks, make
from inventory_svc.adapters.postgres.stockroom import PostgresStockroom
from inventory_svc.domain.stock import ProductKey
from kit.messaging import inbox
from kit.store import partitions
from kit.store.database import Connection, Database
from kit.values.ids import new_id
from ledger_svc.adapters.postgres.books import PostgresBooks, PostgresLedger
from ledger_svc.domain.accounts import AccountCode
from ledger_svc.domain.journal import Entry, Journal, JournalId
from notification_svc.adapters.postgres.deliveries import PostgresDeliveries
from notification_svc.domain.delivery import Move
from notification_svc.domain.delivery import Status as DeliveryStatus
from order_svc.adapters.postgres.orders import PostgresOrderReader, PostgresOrders
from order_svc.application.ports import OrderFilter
from order_svc.domain.order import Status
from tests.support.databases import ServiceDatabase

_PAGES: Final = re.compile(r"(?:hit|read|dirtied)=(\d+)")

# What is looked at besides the rows: the catalogue, and the upper pages of indexes.
_SOME_PAGES: Final = 60

Ask = Callable[["Counting"], Awaitable[object]]


class Counting(Database):
    """A database that has each statement explained, and counts the pages that it looked at."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pages = 0
        self.plans: list[str] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection that counts."""
        async with super().connection() as connection:
            yield _Explaining(connection, self)  # type: ignore[misc]  # all that adapters use of one


class _Explaining:
    def __init__(self, connection: Connection, counting: Counting) -> None:
        self._connection = connection
        self._counting = counting

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        text = statement.encode() if isinstance(statement, str) else statement
        explain = b"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) " + text
        async with self._connection.transaction(force_rollback=True):
            rows = await (await self._connection.execute(explain, parameters)).fetchall()
        # Without what planning has read of the catalogue, and only the top node, which counts for all.
        lines = [row[0] for row in rows]
        buffers = [line for line in lines if "Buffers:" in line]
        self._counting.pages += sum(map(int, _PAGES.findall(buffers[0]))) if buffers else 0
        self._counting.plans.append("\n".join(lines))
        return await self._connection.execute(statement, parameters)


async def _lists(database: Counting, **wanted: Any) -> None:
    assert await PostgresOrderReader(database).page(OrderFilter(**wanted), before_id="", size=20)


async def _next_page(database: Counting) -> None:
    reader = PostgresOrderReader(database)
    page = await reader.page(OrderFilter(merchant_id="mer_1"), before_id="", size=20)
    assert await reader.page(OrderFilter(merchant_id="mer_1"), before_id=page[-1].id, size=20)


async def _newest(database: Counting, count: int) -> list[str]:
    page = await PostgresOrderReader(database).page(OrderFilter(), before_id="", size=count)
    database.pages = 0
    return [order.id for order in page]


async def _moves(database: Counting) -> None:
    ids = await _newest(database, 20)
    async with database.connection() as connection:
        orders = await PostgresOrders(connection).lock(ids)
        await PostgresOrders(connection).save(list(orders.values()))


async def _timeline(database: Counting) -> None:
    [order_id] = await _newest(database, 1)
    assert len(await PostgresOrderReader(database).timeline(order_id)) == 6


async def _changes(database: Counting) -> None:
    ids = await _newest(database, 20)
    assert len(await PostgresOrderReader(database).changed(dict.fromkeys(ids, 1))) == 20


async def _admits(database: Counting) -> None:
    async with database.connection() as connection:
        await inbox.admit(connection, "a_svc", [new_id("evt") for _ in range(20)])


async def _let_go(database: Counting) -> None:
    async with database.connection() as connection:
        for table, days in (("inbox", 90), ("timeline", 90), ("dead_letters", 90), ("idempotency_keys", 0)):
            await connection.execute("SELECT drop_partitions(%s, %s)", (table, days))
            await connection.execute("SELECT forget_rows(%s, %s, 5000)", (table, days))


async def _reserves(database: Counting) -> None:
    order_ids = [new_id("ord") for _ in range(20)]
    async with database.connection() as connection:
        room = PostgresStockroom(connection, lock=False)
        await room.survey(order_ids, [ProductKey("mer_1", "mug")])
        await room.reservations(order_ids)


async def _claims(database: Counting) -> None:
    assert await PostgresDeliveries(database).claim_due(100) == []


async def _sent(database: Counting) -> None:
    # Orders of one batch are of one time, so that their weeks are one or two.
    order_ids = [new_id("ord") for _ in range(20)]
    moves = [Move(f"dlv_{i}", order_id, 1, DeliveryStatus.SENT) for i, order_id in enumerate(order_ids)]
    await PostgresDeliveries(database).move(moves)


async def _of_order(database: Counting) -> None:
    await PostgresDeliveries(database).of_order(new_id("ord"))


async def _balance(database: Counting) -> None:
    balance = await PostgresLedger(database).balance("merchant:mer_1:EUR")
    assert balance is not None
    assert balance.entry_count > 90


async def _posts(database: Counting) -> None:
    journals = [
        Journal(
            id=JournalId(new_id("jrn")),
            business_key=new_id("evt"),
            kind="payment.captured",
            reference="",
            effective_at=datetime.now(UTC),
            entries=(Entry(AccountCode("card:cus_1:EUR"), -5), Entry(AccountCode("merchant:mer_1:EUR"), 5)),
        )
        for _ in range(20)
    ]
    async with database.connection() as connection:
        await PostgresBooks(connection).post(journals)


OF_ORDERS: Final[Mapping[str, Ask]] = {
    "a merchant's orders": lambda d: _lists(d, merchant_id="mer_1"),
    "a merchant's orders of a rare status": lambda d: _lists(
        d, merchant_id="mer_1", status=Status.REQUIRES_ACTION
    ),
    "a merchant's failed orders": lambda d: _lists(d, merchant_id="mer_0", status=Status.FAILED),
    "a buyer's orders": lambda d: _lists(d, customer_id="cus_1"),
    "everybody's orders": _lists,
    "everybody's orders of a rare status": lambda d: _lists(d, status=Status.REQUIRES_ACTION),
    "everybody's completed orders": lambda d: _lists(d, status=Status.COMPLETED),
    "the next page": _next_page,
    "how many are open": lambda d: PostgresOrderReader(d).count_open(
        datetime.now(UTC) - timedelta(seconds=10), 1_000
    ),
    "a move": _moves,
    "a timeline": _timeline,
    "what watchers wait for": _changes,
    "admitting events": _admits,
    "letting go": _let_go,
}
OF_STOCK: Final[Mapping[str, Ask]] = {"reserving": _reserves}
OF_BOOKS: Final[Mapping[str, Ask]] = {
    "a balance": _balance,
    "posting": _posts,
    "what has no seal": lambda d: PostgresLedger(d).unsealed_s(),
    "halts": lambda d: PostgresLedger(d).open_halts(),
}
OF_DELIVERIES: Final[Mapping[str, Ask]] = {
    "a claim": _claims,
    "what was sent": _sent,
    "an order's deliveries": _of_order,
}


async def _cost(urls: ServiceDatabase, asked: Mapping[str, Ask]) -> dict[str, tuple[int, Sequence[str]]]:
    """Return, for each thing that is asked, how many pages were looked at, and how."""
    costs: dict[str, tuple[int, Sequence[str]]] = {}
    for what, ask in asked.items():
        # With plans as they are kept: for any value.
        database = Counting(f"{urls.url}?options=-c%20plan_cache_mode%3Dforce_generic_plan")
        await database.open()
        try:
            if "a balance" in asked:
                await PostgresLedger(database).close_stretch(1_000)
            await ask(database)  # The first look fills what a session remembers of the catalogue.
            database.pages, database.plans = 0, []
            await ask(database)
            costs[what] = (database.pages, database.plans)
        finally:
            await database.close()
    return costs


@pytest.mark.parametrize(
    ("package", "asked"),
    [
        ("order_svc", OF_ORDERS),
        ("inventory_svc", OF_STOCK),
        ("ledger_svc", OF_BOOKS),
        ("notification_svc", OF_DELIVERIES),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_two_months_later_it_costs_what_it_cost(
    package: str, asked: Mapping[str, Ask], service_database: Callable[[str], ServiceDatabase]
) -> None:
    urls = service_database(package)
    now = datetime.now(UTC)
    few = Weeks(orders=1_000, since=now - timedelta(days=60), until=now)
    make(urls.owner_url, few)
    at_first = await _cost(urls, asked)
    many = Weeks(orders=12_000, since=now - timedelta(days=60), until=now, first=100_001)
    make(urls.owner_url, many)
    later = await _cost(urls, asked)
    dearer = {
        what: (at_first[what][0], pages, plans)
        for what, (pages, plans) in later.items()
        if pages > 1.5 * at_first[what][0] + _SOME_PAGES
    }
    assert not dearer, "\n\n".join(
        f"{what}: {before} pages, now {pages}\n" + "\n".join(plans)
        for what, (before, pages, plans) in dearer.items()
    )


async def test_what_is_dropped_is_not_read(service_database: Callable[[str], ServiceDatabase]) -> None:
    urls = service_database("order_svc")
    now = datetime.now(UTC)
    make(urls.owner_url, Weeks(10_000, now - timedelta(days=150), now - timedelta(days=110)))
    with psycopg.connect(urls.superuser_url, autocommit=True) as connection:
        [(pages,)] = connection.execute(
            "SELECT sum(pg_relation_size(part)) / 8192 FROM partitions_of('timeline')"
        ).fetchall()
        # What is at the end of a table has no summary yet; autovacuum makes them in its own time.
        connection.execute(
            "SELECT brin_summarize_new_values(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid"
            " WHERE relname LIKE 'timeline%at_idx'"
        )
    database = Database(urls.url)
    await database.open()
    with psycopg.connect(urls.url, autocommit=True) as connection:
        plan = connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS) SELECT drop_partitions('timeline', 90)"
        ).fetchall()
    await partitions.let_go(database, {"timeline": 90})
    await database.close()
    with psycopg.connect(urls.superuser_url) as connection:
        assert connection.execute("SELECT count(*) FROM timeline").fetchone() == (0,)
    read = sum(map(int, re.findall(r" read=(\d+)", " ".join(row[0] for row in plan))))
    assert read < pages / 4
