"""A ledger to be tested: posts, reads, and looks behind its back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from kit.store.database import Database
from kit.values.ids import new_id
from ledger_svc.adapters.postgres.books import PostgresLedger
from ledger_svc.application.close_books import close_books
from ledger_svc.domain.accounts import AccountCode
from ledger_svc.domain.journal import Code, Entry, Journal, JournalId, Posting
from tests.support.databases import ServiceDatabase


def journal(
    lines: dict[str, int] | Sequence[tuple[str, int]],
    *,
    key: str = "",
    kind: str = "test",
    corrects: str = "",
) -> Journal:
    """Return a journal with these lines; a fresh business key if none is given."""
    pairs = lines.items() if isinstance(lines, dict) else lines
    return Journal(
        id=JournalId(new_id("jrn")),
        business_key=key or new_id("evt"),
        kind=kind,
        reference="test",
        effective_at=datetime.now(UTC),
        entries=tuple(Entry(AccountCode(account), amount) for account, amount in pairs),
        corrects=corrects,
    )


def transfer(giver: str, taker: str, amount: int, *, key: str = "", kind: str = "test") -> Journal:
    """Return a journal of two lines."""
    return journal({giver: -amount, taker: amount}, key=key, kind=kind)


class Ledger:
    """The service's own way into the books, and the ways of others."""

    def __init__(self, database: ServiceDatabase) -> None:
        self.urls = database
        self.database = Database(database.url)
        self.ledger = PostgresLedger(self.database)

    async def post(self, *journals: Journal) -> list[Posting]:
        """Post as one batch."""
        return await self.ledger.post_together(journals)

    async def codes(self, *journals: Journal) -> list[Code]:
        """Post as one batch and return the codes."""
        return [posting.code for posting in await self.post(*journals)]

    async def balance(self, account: str) -> int:
        """Return what stands on an account."""
        balance = await self.ledger.balance(account)
        return 0 if balance is None else balance.posted

    async def close(self) -> int:
        """Close the books as the background worker does."""
        return await close_books(self.ledger.close_stretch, self.ledger.unsealed_s, self.ledger.open_halts)

    async def problems(self) -> list[tuple[str, str]]:
        """Return (shard, problem) of each seal that does not fit."""
        rows = await self.rows(self.urls.superuser_url, "SELECT shard, problem FROM verify_seals()")
        return [(shard, problem) for shard, problem in rows]

    async def as_owner(self, *statements: str) -> None:
        """Run statements as the role that owns the tables."""
        for statement in statements:
            await self.rows(self.urls.owner_url, statement)

    async def behind_its_back(self, *statements: str) -> None:
        """Run statements as a superuser who has switched the triggers off."""
        async with await psycopg.AsyncConnection.connect(self.urls.superuser_url) as connection:
            await connection.execute("SET session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement)

    async def rows(self, url: str, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement returns to whoever has this address."""
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(statement)
            return await cursor.fetchall() if cursor.description else []

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        rows = await self.rows(self.urls.superuser_url, f"SELECT count(*) FROM {table}")
        return int(rows[0][0])
