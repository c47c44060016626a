"""Makes an event have its effect once: one row per (event, consumer), in the effect's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kit.store.database import Connection, Database

# A day's rows go as a whole, so as long as it has its partition, none of its events is forgotten. What was
# there before there were days is the exception: it begins with no time at all.
_RECALL_SQL: Final = """
WITH days AS MATERIALIZED (SELECT first_id, end_id FROM partitions_of('inbox') WHERE first_id <> 'evt_')
SELECT id, is_done FROM unnest(%(ids)s::text[]) AS id, LATERAL (
    SELECT EXISTS (SELECT FROM inbox WHERE event_id = id AND consumer = %(consumer)s) AS is_done) AS recalled
WHERE is_done OR EXISTS (SELECT FROM days WHERE id COLLATE "C" >= first_id AND id COLLATE "C" < end_id)
"""


async def admit(connection: Connection, consumer: str, event_ids: Sequence[str]) -> frozenset[str]:
    """Admit events to this transaction and return the ids that had not been admitted before.

    A concurrent transaction that admits the same event makes this one wait; only one of them gets it.
    Ids are admitted in sorted order, so two such transactions cannot deadlock. What is older than any resend
    can be is forgotten (see `kit/store/partitions.py`).
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


async def recall(connection: Connection, consumer: str, event_ids: Sequence[str]) -> Mapping[str, bool]:
    """Return whether a consumer has acted on each of these events; what it may have forgotten is left out."""
    cursor = await connection.execute(_RECALL_SQL, {"ids": list(event_ids), "consumer": consumer})
    return dict(await cursor.fetchall())
