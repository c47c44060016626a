"""The outboxes of all services: events that are on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from operations.connection import connect
from roster import ROSTER
from runner.settings import Settings

_WAITING_SQL: Final = (
    "SELECT type, count(*) AS events, max(sends) AS sends,"
    " extract(epoch FROM now() - min(created_at))::float AS oldest_s"
    " FROM outbox GROUP BY type ORDER BY type"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events of one kind that not all of their consumers have confirmed."""

    type: str
    events: int
    oldest_s: float
    # Of the one that was sent most often; 1 is the normal first time.
    sends: int


async def waiting(settings: Settings) -> dict[str, list[Waiting]]:
    """What is in each service's outbox, by kind of event."""
    found: dict[str, list[Waiting]] = {}
    for service in ROSTER.packages:
        async with await connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Waiting))
            await cursor.execute(_WAITING_SQL)
            found[service] = await cursor.fetchall()
    return found
