"""What an auditor may look at: the database of each context, and the PSP's own list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from payment_svc.proof import PspListing
from roster import ROSTER

ORDERS: Final = ROSTER["order_svc"].database
STOCK: Final = ROSTER["inventory_svc"].database
PAYMENTS: Final = ROSTER["payment_svc"].database
BOOKS: Final = ROSTER["ledger_svc"].database
DATABASES: Final = tuple(context.database for context in ROSTER)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the evidence is.

    Attributes:
        database_url: address of a database, by its name, for a role that can read all of it.
        psp: the provider's own list of payments.
    """

    database_url: Callable[[str], str]
    psp: PspListing

    def __repr__(self) -> str:
        return f"Audit({self.psp})"

    @asynccontextmanager
    async def connect(self, database: str) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """Lends a connection inside of a transaction that can only read.

        Any host will do, a standby too: whoever only reads has no use for one that takes writes.
        """
        connection = await psycopg.AsyncConnection.connect(
            self.database_url(database),
            connect_timeout=5,
            application_name="florin prove",
            target_session_attrs="any",
        )
        async with connection:
            await connection.set_read_only(True)
            yield connection

    async def rows(
        self, database: str, query: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> list[Row]:
        """Returns what a query finds with these values, as of one instant."""
        async with self.connect(database) as connection:
            cursor = await connection.execute(query, values or None)
            return await cursor.fetchall()
