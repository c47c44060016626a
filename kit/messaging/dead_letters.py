"""Events that could not be handled: kept in Postgres with their error until a person has looked at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from kit.store.database import Connection, Database
from kit.values.ids import NewId
from kit.values.redaction import redact

log = structlog.get_logger(__name__)

# Looked up one by one: there are few letters, and many rows of an inbox.
_HANDLED_SQL: Final = """
UPDATE dead_letters SET acknowledged_at = now(), outcome = 'handled'
WHERE acknowledged_at IS NULL AND (
    SELECT true FROM inbox WHERE inbox.event_id = dead_letters.event_id
        AND inbox.consumer = dead_letters.consumer)
RETURNING id
"""

# Long enough for any exception's message, short enough to read in a list.
_MAX_ERROR_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event a consumer gave up on.

    Attributes:
        aggregate: what it belongs to, as its sender said it.
    """

    consumer: str
    event_id: str
    type: str
    aggregate: str
    payload: bytes
    headers: Mapping[str, str]
    error: str
    attempts: int


async def bury(connection: Connection, letter: DeadLetter, new_id: NewId) -> None:
    """Store a dead letter, or open the one that is there again: a replayed event has failed once more.

    Its attempts grow with each burial, which tells whoever closes a letter that it was buried again
    meanwhile. What was discarded stays so.
    """
    await connection.execute(
        "INSERT INTO dead_letters (id, consumer, event_id, type, aggregate, payload, headers, error,"
        " attempts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (consumer, event_id) DO UPDATE SET error = excluded.error,"
        " attempts = greatest(dead_letters.attempts + 1, excluded.attempts), acknowledged_at = NULL,"
        " outcome = NULL"
        " WHERE dead_letters.outcome IS DISTINCT FROM 'discarded'",
        (
            new_id("dl"),
            letter.consumer,
            letter.event_id,
            letter.type,
            letter.aggregate,
            letter.payload,
            json.dumps(dict(letter.headers)),
            redact(letter.error)[:_MAX_ERROR_LENGTH],
            letter.attempts,
        ),
    )


async def close_handled(database: Database) -> None:
    """Close the letters of events that were acted on after all, by another replica or once replayed.

    To be done before the inbox forgets anything: then an open letter is one whose event had no effect, and
    may be replayed however old it is.
    """
    async with database.connection() as connection:
        closed = await (await connection.execute(_HANDLED_SQL)).fetchall()
    if closed:
        log.info("dead_letters.handled", ids=sorted(row[0] for row in closed))
