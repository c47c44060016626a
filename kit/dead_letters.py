"""Events that could not be handled: kept in Postgres with their error until a person has looked at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kit.database import Connection
from kit.ids import NewId
from kit.redaction import redact

# Long enough for any exception's message, short enough to read in a list.
_MAX_ERROR_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event a consumer gave up on."""

    consumer: str
    event_id: str
    type: str
    aggregate_id: str
    payload: bytes
    headers: Mapping[str, str]
    error: str
    attempts: int


async def bury(connection: Connection, letter: DeadLetter, new_id: NewId) -> None:
    """Store a dead letter; one that is there already keeps its first error.

    A replayed one that failed once more is open again; its higher number of attempts tells it from a late
    copy of the first delivery. What was discarded stays so.
    """
    await connection.execute(
        "INSERT INTO dead_letters (id, consumer, event_id, type, aggregate_id, payload, headers, error,"
        " attempts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (consumer, event_id) DO UPDATE SET error = excluded.error,"
        " attempts = excluded.attempts, acknowledged_at = NULL, outcome = NULL"
        " WHERE dead_letters.attempts < excluded.attempts"
        " AND dead_letters.outcome IS DISTINCT FROM 'discarded'",
        (
            new_id("dl"),
            letter.consumer,
            letter.event_id,
            letter.type,
            letter.aggregate_id,
            letter.payload,
            json.dumps(dict(letter.headers)),
            redact(letter.error)[:_MAX_ERROR_LENGTH],
            letter.attempts,
        ),
    )
