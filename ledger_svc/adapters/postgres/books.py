"""The books in Postgres. All writing is done by two functions of the database (see the migrations)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from kit.store.database import (
    STORE_UNAVAILABLE,
    Connection,
    Database,
    Held,
    StatementRefused,
    store_unavailable,
)
from kit.values.errors import InvalidRequest, Unavailable
from kit.values.reasons import FIELD_INVALID
from ledger_svc.application.ports import Balance
from ledger_svc.domain.journal import MAX_JOURNALS, Code, Journal, Posting
from ledger_svc.domain.reasons import POSTING_HALTED

# %b sends the arrays in binary form, which costs a quarter of their text form.
_POST: Final = (
    "SELECT business_key, code, journal_id FROM post_journals(%b::text[], %b::text[], %b::text[], %b::text[],"
    " %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::integer[], %b::text[], %b::bigint[])"
)

_UNSEALED: Final = """
SELECT extract(epoch FROM now() - recorded_at)::float8 FROM journals
WHERE txid >= coalesce(
    (SELECT to_txid FROM seals WHERE shard = 'journals' ORDER BY from_txid DESC LIMIT 1), '0')
ORDER BY txid LIMIT 1
"""


class PostgresBooks:
    """The books inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def post(self, journals: Sequence[Journal]) -> list[Posting]:
        """Post at most `MAX_JOURNALS` and return what became of each, in order."""
        assert len(journals) <= MAX_JOURNALS
        cursor = await self._connection.execute(_POST, _columns(journals))
        return [
            Posting(key, Code[code], journal_id or "") for key, code, journal_id in await cursor.fetchall()
        ]


class PostgresLedger:
    """The books as RPCs and workers use them: each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def post_together(self, journals: Sequence[Journal]) -> list[Posting]:
        """Post journals in one transaction; see `PostTogether`."""
        try:
            return await self._database.transact(lambda connection: PostgresBooks(connection).post(journals))
        except Held as error:
            raise Unavailable(
                POSTING_HALTED,
                "the books do not sum to zero, so nothing is posted until a person has looked at them",
            ) from error
        except StatementRefused as error:
            raise store_unavailable("posting took the database too long; nothing was posted") from error
        except STORE_UNAVAILABLE as error:
            # The connection may have been lost while the commit was on its way, so nobody knows.
            raise store_unavailable(
                "the database does not answer; the journals may have been posted: repeat them, each with the"
                " same business_key"
            ) from error
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise InvalidRequest(
                FIELD_INVALID, f"nothing was posted, the books cannot hold it: {error.diag.message_primary}"
            ) from error

    async def balance(self, account: str) -> Balance | None:
        """Return what stands on an account; None if there is no such account."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "SELECT currency, posted, entry_count FROM balance_of(%s)", (account,)
            )
            row = await cursor.fetchone()
        return None if row is None else Balance(account, *row)

    async def close_stretch(self, max_entries: int) -> int:
        """Close at most so many entries and return how many they were."""
        # A transaction from before they were bounded, of a million entries, is closed as a whole.
        async with self._database.patient(statement_s=60.0) as connection:
            cursor = await connection.execute("SELECT close_books(%s)", (max_entries,))
            row = await cursor.fetchone()
        assert row is not None, "a function returns a row"
        return int(row[0])

    async def unsealed_s(self) -> float:
        """Return how long the oldest journal without a seal has been waiting; 0 if there is none."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_UNSEALED)).fetchone()
        return 0.0 if row is None else float(row[0])

    async def open_halts(self) -> list[str]:
        """Return why posting is halted; usually nothing."""
        async with self._database.connection() as connection:
            cursor = await connection.execute("SELECT reason FROM posting_halts WHERE lifted_at IS NULL")
            return [reason for (reason,) in await cursor.fetchall()]


def _columns(journals: Sequence[Journal]) -> tuple[list[Any], ...]:
    """Return the arguments of `post_journals`: one array per column, entries with the position of theirs."""
    lines = [
        (position, entry.account, entry.amount)
        for position, journal in enumerate(journals, start=1)
        for entry in journal.entries
    ]
    return (
        [journal.id for journal in journals],
        [journal.business_key for journal in journals],
        [journal.kind for journal in journals],
        [journal.reference for journal in journals],
        [journal.order_id for journal in journals],
        [journal.payment_id for journal in journals],
        [journal.corrects for journal in journals],
        [journal.effective_at for journal in journals],
        [position for position, _, _ in lines],
        [account for _, account, _ in lines],
        [amount for _, _, amount in lines],
    )
