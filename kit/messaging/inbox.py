"""Makes an event have its effect once: one row per (consumer, event), in the effect's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from kit.store.database import Connection, Database, delete_in_chunks


async def admit(connection: Connection, consumer: str, event_ids: Sequence[str]) -> frozenset[str]:
    """Admit events to this transaction and return the ids that had not been admitted before.

    A concurrent transaction that admits the same event makes this one wait; only one of them gets it.
    Ids are admitted in sorted order, so two such transactions cannot deadlock.
    """
    cursor = await connection.execute(
        "INSERT INTO inbox (consumer, event_id) SELECT %s, id FROM unnest(%s::text[]) AS id"
        " ON CONFLICT DO NOTHING RETURNING event_id",
        (consumer, sorted(set(event_ids))),
    )
    return frozenset(row[0] for row in await cursor.fetchall())


async def is_new(database: Database, consumer: str) -> bool:
    """Return whether a consumer has never acted on an event, as far as its inbox remembers."""
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT FROM inbox WHERE consumer = %s LIMIT 1", (consumer,))
        return await cursor.fetchone() is None


async def prune(database: Database, *, keep_days: int = 8) -> int:
    """Forget events older than any resend can be and return how many were forgotten.

    Outbox rows are resent for 7 days at most, so 8 days of memory are enough.
    """
    return await delete_in_chunks(
        database,
        "DELETE FROM inbox WHERE (consumer, event_id) IN (SELECT consumer, event_id FROM inbox"
        " WHERE received_at < now() - make_interval(days => %s) LIMIT %s)",
        keep_days,
    )
