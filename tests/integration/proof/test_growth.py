"""A proof that goes on costs what is new, whatever history there is: rows are counted, not milliseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from bench.history import MadeAccount
from bench.made_rows import Weeks, make
from ledger_svc.proof import JOURNALS_BEFORE
from proof import CHECKS, Audit, agreement, books
from proof.audit import BOOKS, Row
from proof.checks import prove
from proof.memory import Memory
from roster import ROSTER
from tests.support.databases import ServiceDatabase

# Of each merchant up to a thousand entries since the last snapshot are summed up. All orders are far more.
_SOME_ROWS: Final = 3_000
_MERCHANTS: Final = ("mer_1", "mer_2", "mer_3")
# What a plan makes by itself, and what the scan above it counts again.
_NO_ROWS: Final = frozenset(
    {"CTE Scan", "Subquery Scan", "Function Scan", "Values Scan", "Bitmap Index Scan"}
)

_FEW: Final = 1_200
_MANY: Final = 8_000
# Little beside both: of a good part of a table a planner rightly reads all.
_NEW: Final = 20


class _Counting:
    """A connection that has each statement explained first, and counts the rows that it has read."""

    def __init__(self, connection: psycopg.AsyncConnection[Row], read: Counter[str]) -> None:
        self._connection = connection
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, query: str, values: Any = None) -> psycopg.AsyncCursor[Row]:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, SUMMARY OFF) {query}".encode()
        [(plans,)] = await (await self._connection.execute(explain, values)).fetchall()
        rows = {plan: count for each in plans for plan, count in _rows_read(each["Plan"]) if count}
        self._read[f"{query}{rows}"] += sum(rows.values())
        return await self._connection.execute(query.encode(), values)


def _rows_read(plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each scan of a plan, and how many rows it has looked at."""
    if plan["Node Type"].endswith("Scan") and plan["Node Type"] not in _NO_ROWS:
        looked_at = sum(plan.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter"))
        what = plan.get("Relation Name") or plan.get("Index Name", "")
        yield f"{plan['Node Type']} {what} {id(plan)}", round(looked_at * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from _rows_read(below)


class CountingAudit(Audit):
    """An audit that counts the rows it reads, by statement."""

    @asynccontextmanager
    async def connect(self, database: str) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """Lend a connection that counts."""
        async with super().connect(database) as connection:
            yield _Counting(connection, self.read)  # type: ignore[misc]  # all that an audit uses of one

    @property
    def read(self) -> Counter[str]:
        """Rows by statement and scan."""
        read: Counter[str] = self.__dict__.setdefault("_read", Counter())
        return read


def _weeks(orders: int, *, days: float, until: datetime, first: int) -> Weeks:
    return Weeks(
        orders, until - timedelta(days=days), until, first=first, merchants=_MERCHANTS, waiting_each=0
    )


async def _cost(
    databases: dict[str, ServiceDatabase], orders: int, memory: Memory
) -> dict[str, Counter[str]]:
    """Return the rows that each check reads for some new orders, with so many proven before."""
    urls = {name: database.superuser_url for name, database in databases.items()}
    # As where tables are large: these are so small that it is right to read them as a whole.
    counted = {name: f"{url}?options=-c%20enable_seqscan%3Doff" for name, url in urls.items()}
    now = datetime.now(UTC)
    old = _weeks(orders, days=60, until=now - timedelta(hours=1), first=1)
    for database in databases.values():
        make(database.owner_url, old)
    proof = await prove(Audit(database_url=urls.__getitem__, psp=MadeAccount(old)), memory)
    assert [check for check in proof.checks if not check.ok] == []
    new = _weeks(_NEW, days=0.01, until=now - timedelta(minutes=5), first=1_000_001)
    for database in databases.values():
        make(database.owner_url, new)
    costs = {}
    for name, look in CHECKS.items():
        audit = CountingAudit(database_url=counted.__getitem__, psp=MadeAccount(new))
        try:
            found = await look(audit, {**memory.proven(name), "anchors": memory.anchors(name, last=True)})
        finally:
            await audit.close()
        assert found.problems == {}
        costs[name] = Counter(audit.read)
    return costs


@pytest.mark.timeout(240)
async def test_each_check_reads_what_is_new_and_not_what_has_been(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_PATROL", _NEW)
    monkeypatch.setattr(books, "_PATROL_ROWS", _NEW)
    few, many = [
        await _cost(
            {context.database: service_database(context.package) for context in ROSTER},
            orders,
            Memory(tmp_path / str(orders)),
        )
        for orders in (_FEW, _MANY)
    ]
    told = {name: (few[name].total(), many[name].total()) for name in CHECKS}
    dearer = {
        name: many[name].most_common(2)
        for name, (before, after) in told.items()
        if after > 1.2 * before + _SOME_ROWS
    }
    assert not dearer, told


async def test_a_page_of_journals_is_found_and_not_sorted_out_of_all(
    service_database: Callable[[str], ServiceDatabase],
) -> None:
    books_only = service_database("ledger_svc")
    now = datetime.now(UTC)
    weeks = _weeks(_FEW, days=60, until=now, first=1)
    make(books_only.owner_url, weeks)
    audit = CountingAudit(database_url=lambda _: books_only.superuser_url, psp=MadeAccount(weeks))
    page = {"since": 0, "before": 2**62, "after": "", "page": _NEW}
    assert len(await audit.rows(BOOKS, JOURNALS_BEFORE, page)) == _NEW
    await audit.close()
    # A transaction or two, of 250 journals each.
    assert audit.read.total() < _FEW / 2
