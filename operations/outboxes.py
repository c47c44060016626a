"""The outboxes of all services: events that are on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from kit.messaging.outbox import drop
from kit.messaging.parked import Unparked, unpark
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

    @property
    def gone(self) -> bool:
        """Whether it is owed to a context that does not act on it any more, or is not there any more."""
        return self.consumer is not None and self.consumer not in ROSTER.consumers.get(self.type, ())


async def waiting(settings: Settings) -> dict[str, list[Waiting]]:
    """What is in each service's outbox, by kind of event and consumer."""
    found: dict[str, list[Waiting]] = {}
    for service in ROSTER.packages:
        async with await connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Waiting))
            await cursor.execute(_WAITING_SQL)
            found[service] = await cursor.fetchall()
    return found


async def drop_unwanted(settings: Settings, consumer: str) -> int:
    """Drops what every service owes a consumer that does not act on it any more; returns how much that is."""
    acts_on = [event for event, consumers in ROSTER.consumers.items() if consumer in consumers]
    events = 0
    for service in ROSTER.packages:
        async with await connect(settings, service) as connection:
            events += await drop(connection, consumer, but=acts_on)
    return events


async def send_parked(settings: Settings, consumer: str, *, forgotten_too: bool) -> Unparked:
    """Has every service send again what it has parked for a consumer; returns what became of it all."""
    told = Unparked()
    async with await connect(settings, consumer) as receiver:
        for service in ROSTER.packages:
            async with await connect(settings, service) as sender:
                each = await unpark(sender, receiver, consumer, forgotten_too=forgotten_too)
            told.sent += each.sent
            told.done += each.done
            told.forgotten += each.forgotten
    return told
