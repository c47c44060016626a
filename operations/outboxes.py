"""The outboxes of all services: events that are on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from kit.messaging.outbox import unpark
from operations.connection import connect
from roster import ROSTER
from runner.settings import Settings

_WAITING_SQL: Final = (
    "SELECT type, consumer, count(*) AS events, max(coalesce(sends, 1)) AS sends,"
    " count(parked_at) AS parked, extract(epoch FROM now() - min(created_at))::float AS oldest_s"
    " FROM outbox LEFT JOIN resends USING (event_id) GROUP BY type, consumer ORDER BY type, consumer"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events of one kind that a consumer has not confirmed."""

    type: str
    # None while they are on their way for the first time, to all.
    consumer: str | None
    events: int
    oldest_s: float
    # Of the one that was sent most often; 1 is the normal first time.
    sends: int
    # How many of them are sent no more until a person says so.
    parked: int


async def waiting(settings: Settings) -> dict[str, list[Waiting]]:
    """What is in each service's outbox, by kind of event and consumer."""
    found: dict[str, list[Waiting]] = {}
    for service in ROSTER.packages:
        async with await connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Waiting))
            await cursor.execute(_WAITING_SQL)
            found[service] = await cursor.fetchall()
    return found


async def send_parked(settings: Settings, consumer: str) -> int:
    """Has every service send again what it has parked for a consumer; returns how many events that are."""
    events = 0
    for service in ROSTER.packages:
        async with await connect(settings, service) as connection:
            events += await unpark(connection, consumer)
    return events
