"""What an auditor may look at: the database of each context, and the PSP's own list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from payment_svc.proof import PspEvidence
from roster import ROSTER

ORDERS: Final = ROSTER["order_svc"].database
STOCK: Final = ROSTER["inventory_svc"].database
PAYMENTS: Final = ROSTER["payment_svc"].database
BOOKS: Final = ROSTER["ledger_svc"].database
NOTICES: Final = ROSTER["notification_svc"].database
DATABASES: Final = tuple(context.database for context in ROSTER)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the evidence is.

    Attributes:
        database_url: address of a database, by its name, for a role that can read all of it.
        psp: the provider's own lists of payments and of what moved its balance.
    """

    database_url: Callable[[str], str]
    psp: PspEvidence
    _connections: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False, compare=False)
    # By database: connections that nobody uses at the moment.
    _idle: dict[str, list[psycopg.AsyncConnection[Row]]] = field(
        default_factory=dict, repr=False, compare=False
    )

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
        idle = self._idle.setdefault(database, [])
        connection = (
            idle.pop() if idle else await self._connections.enter_async_context(self.connect(database))
        )
        cursor = await connection.execute(query, values or None)
        found = await cursor.fetchall()
        # No transaction stays open between two questions: it would hold up what it looks at.
        await connection.rollback()
        idle.append(connection)
        return found

    async def close(self) -> None:
        """Ends the connections; the next question opens others."""
        self._idle.clear()
        await self._connections.aclose()
