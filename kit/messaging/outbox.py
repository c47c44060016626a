"""Events that leave with the effect that caused them, and are sent until everyone has acted on them.

An event's row is inserted in the transaction of its effect. After the commit it is published straight
from memory. Each consumer confirms after its own commit; when the last one has, the row is deleted.

That is the end of nearly all. An event that is overdue gets a row in `resends` for each consumer that has not
confirmed it, and is sent again to that consumer alone, whatever went wrong: this process died before it could
publish, the broker lost its disk, a consumer was down or failed. What is owed to one consumer never waits for
what is owed to another, and nothing is sent to one that is not there. One mechanism covers all losses, so the
broker's own acknowledgements are not needed (docs/decisions/0003 and 0013).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

import structlog

from kit.messaging.bus import Bus
from kit.messaging.envelope import Envelope
from kit.messaging.events import EventType, NewEvent, event_type
from kit.messaging.pull import FETCH_SIZE
from kit.observe import faultpoints
from kit.store.database import Connection, Database
from kit.values.clock import Clock
from kit.values.ids import NewId
from kit.values.pauses import Pauses

log = structlog.get_logger(__name__)

# Between two sends of one event. A checkout is normally done long before the first has passed; earlier would
# send again what is only waiting in a queue.
RESEND_PAUSES: Final = Pauses.doubling(5.0, longest_s=60.0)

# What is older is not sent, whoever wakes up and finds it: a person has to look. Inboxes remember for longer,
# so a consumer knows whatever it is sent.
RESEND_DAYS: Final = 7

# The process that sent an event knows who has confirmed it, so it is first to note who has not. The others
# wait this much longer; they only know that not all have.
_HEAD_START_S: Final = 2.0

# Events that are noted or parked at a time, few enough to hold nobody up.
CHUNK: Final = 5_000

# What is overdue is noted for so long in a turn: whoever has much to note, after an outage, is not stuck.
_NOTING_S: Final = 2.0

# How many chunks are parked in a turn.
_MOST_PARKED: Final = 20

# What is sent again to one consumer in a turn: to one that has done all it was sent, as much as it can do
# until the next; to one that is behind, the oldest, in case they are not among what waits for it.
RESEND_BATCH: Final = 500
_TO_ONE_THAT_IS_BEHIND: Final = 20

# At its end a process waits this long for the confirmations of what it has sent last.
_LAST_CONFIRMATIONS_S: Final = 1.0

_FORGET_SQL: Final = """
WITH gone AS (DELETE FROM outbox WHERE event_id = ANY(%s) RETURNING event_id, overdue_at)
DELETE FROM resends WHERE event_id IN (SELECT event_id FROM gone WHERE overdue_at IS NULL)
"""

_OVERDUE_SQL: Final = (
    "SELECT event_id, type FROM outbox WHERE overdue_at <= now() AND type = ANY(%s)"
    " ORDER BY overdue_at LIMIT %s"
)

_NOTE_SQL: Final = """
WITH overdue AS (
    SELECT event_id FROM outbox WHERE event_id = ANY(%(events)s) AND overdue_at IS NOT NULL
    FOR UPDATE SKIP LOCKED
), noted AS (
    UPDATE outbox SET overdue_at = NULL FROM overdue WHERE outbox.event_id = overdue.event_id
    RETURNING outbox.event_id, created_at
)
INSERT INTO resends (event_id, consumer, next_send_at, owed_since)
SELECT event_id, consumer, least(created_at, now()), least(created_at, now())
FROM noted JOIN unnest(%(events)s::text[], %(consumers)s::text[]) AS missing (event_id, consumer)
    USING (event_id)
ON CONFLICT (event_id, consumer) DO NOTHING
"""

_OWED_SQL: Final = """
SELECT consumer FROM unnest(%s::text[]) AS consumer WHERE EXISTS (
    SELECT FROM resends WHERE resends.consumer = consumer.consumer AND parked_at IS NULL
        AND next_send_at <= now())
"""

# What was confirmed to two processes at once may be here without its event.
_CLAIM_SQL: Final = """
WITH due AS (
    SELECT event_id FROM resends
    WHERE consumer = %(consumer)s AND parked_at IS NULL AND next_send_at <= now()
        AND owed_since > now() - make_interval(days => %(days)s)
    ORDER BY next_send_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE resends SET
        sends = sends + 1,
        next_send_at = now() + make_interval(secs =>
            (%(pauses)s::float8[])[least(sends + 1, cardinality(%(pauses)s::float8[]))])
    FROM due WHERE resends.event_id = due.event_id AND consumer = %(consumer)s
    RETURNING resends.event_id, sends
)
SELECT event_id, type, aggregate, payload, correlation_id, traceparent, created_at, sends
FROM claimed LEFT JOIN outbox USING (event_id) ORDER BY event_id
"""

_PARK_SQL: Final = """
WITH old AS (
    SELECT event_id, consumer FROM resends
    WHERE parked_at IS NULL AND owed_since <= now() - make_interval(days => %s)
    ORDER BY owed_since LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE resends SET parked_at = now() FROM old
WHERE resends.event_id = old.event_id AND resends.consumer = old.consumer
RETURNING resends.consumer
"""

# One after the other: two processes that settle the last two consumers of an event see what the other did.
_LOCK_SQL: Final = "SELECT FROM outbox WHERE event_id = ANY(%s) ORDER BY event_id FOR UPDATE"
_SETTLE_SQL: Final = (
    "DELETE FROM resends USING unnest(%s::text[], %s::text[]) AS settled (event_id, consumer)"
    " WHERE resends.event_id = settled.event_id AND resends.consumer = settled.consumer"
)
_FORGET_SETTLED_SQL: Final = (
    "DELETE FROM outbox WHERE event_id = ANY(%s) AND overdue_at IS NULL"
    " AND NOT EXISTS (SELECT FROM resends WHERE resends.event_id = outbox.event_id)"
)


_UNWANTED_SQL: Final = """
SELECT event_id FROM resends LEFT JOIN outbox USING (event_id)
WHERE consumer = %s AND (type IS NULL OR type <> ALL(%s)) LIMIT %s
"""


async def drop(connection: Connection, consumer: str, *, but: Collection[str]) -> int:
    """Owe a consumer nothing any more, but for these kinds of events; return how many events that were."""
    dropped = 0
    while True:
        async with connection.transaction():
            cursor = await connection.execute(_UNWANTED_SQL, (consumer, sorted(but), CHUNK))
            events = [row[0] for row in await cursor.fetchall()]
            await owe_no_more(connection, events, [consumer] * len(events))
        dropped += len(events)
        if len(events) < CHUNK:
            return dropped


async def owe_no_more(connection: Connection, events: Sequence[str], consumers: Sequence[str]) -> None:
    """Delete what is not owed any more, and the events that are owed to nobody."""
    await connection.execute(_LOCK_SQL, (list(events),))
    await connection.execute(_SETTLE_SQL, (list(events), list(consumers)))
    await connection.execute(_FORGET_SETTLED_SQL, (list(events),))


@dataclass(slots=True)
class _Awaited:
    """Consumers that have not confirmed an event this process sent and that is not overdue."""

    consumers: set[str]
    since: float = field(default_factory=time.monotonic)


class Outbox:
    """The outbox of one service.

    Args:
        types: every kind of event the service emits.
        consumers: by event: who has to confirm it. What nobody has to is sent once.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        source: str,
        types: Iterable[EventType],
        consumers: Mapping[str, frozenset[str]],
        new_id: NewId,
        clock: Clock,
    ) -> None:
        self._database = database
        self._bus = bus
        self._source = source
        self._types = {type_.name: type_ for type_ in types}
        self._consumers = consumers
        self._new_id = new_id
        self._clock = clock
        self._everyone = sorted(set[str]().union(*(consumers.get(name, ()) for name in self._types)))
        # By event, oldest first.
        self._awaited: dict[str, _Awaited] = {}
        self._none_awaited = asyncio.Event()
        self._confirmed: list[str] = []
        # (event, consumer) that may be noted in `resends`.
        self._settled: list[tuple[str, str]] = []
        self._absent: frozenset[str] = frozenset()

    async def store(self, connection: Connection, events: Sequence[NewEvent]) -> list[Envelope]:
        """Insert events in the running transaction and return what is to be published after its commit."""
        now = self._clock()
        envelopes = [
            Envelope(
                id=self._new_id("evt"),
                type=event_type(type(event.message)),
                source=self._source,
                aggregate=event.aggregate,
                payload=event.message.SerializeToString(),
                trail=event.trail,
                time=now,
                confirm_to=self._bus.confirm_subject,
            )
            for event in events
        ]
        await connection.execute(
            "INSERT INTO outbox (event_id, type, aggregate, payload, correlation_id, traceparent,"
            " created_at, overdue_at) SELECT e.*, %s, now() + make_interval(secs => %s)"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[]) AS e",
            (
                now,
                RESEND_PAUSES.after(0) + _HEAD_START_S,
                [e.id for e in envelopes],
                [e.type.name for e in envelopes],
                [str(e.aggregate) for e in envelopes],
                [e.payload for e in envelopes],
                [e.trail.correlation_id for e in envelopes],
                [e.trail.traceparent for e in envelopes],
            ),
        )
        return envelopes

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send committed events. Never raises: what is not sent now is due later."""
        for envelope in envelopes:
            if consumers := self._consumers.get(envelope.type.name):
                self._awaited[envelope.id] = _Awaited(set(consumers))
            else:
                self._confirmed.append(envelope.id)  # Nobody has to act on it.
            faultpoints.passing(f"{self._source}.before_publish")
            await self._bus.publish(envelope)

    def confirm(self, consumer: str, event_ids: Iterable[str]) -> None:
        """Note that a consumer has committed its effect of these events."""
        for event_id in event_ids:
            awaited = self._awaited.get(event_id)
            if awaited is None:
                # Overdue, or a copy of what is done.
                self._settled.append((event_id, consumer))
                continue
            awaited.consumers.discard(consumer)
            if not awaited.consumers:
                del self._awaited[event_id]
                self._confirmed.append(event_id)
        if not self._awaited:
            self._none_awaited.set()

    async def forget_confirmed(self) -> None:
        """Delete the events that everyone has confirmed."""
        confirmed, self._confirmed = self._confirmed, []
        settled, self._settled = self._settled, []
        try:
            if confirmed:
                async with self._database.connection() as connection:
                    await connection.execute(_FORGET_SQL, (sorted(confirmed),))
                confirmed = []
            if settled:
                await self._settle(settled)
                settled = []
        finally:
            # What was not deleted, because it failed or was to end, is at the next turn.
            self._confirmed.extend(confirmed)
            self._settled.extend(settled)

    async def finish(self) -> None:
        """Wait a moment for the confirmations of what was sent last, so that it is not sent again."""
        if self._awaited:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_CONFIRMATIONS_S):
                    self._none_awaited.clear()
                    await self._none_awaited.wait()
        await self.forget_confirmed()

    async def resend_due(self) -> int:
        """Send again what is due to each consumer that is there, and return how much that was.

        Rows are claimed with SKIP LOCKED and pushed into the future before they are sent, so any number of
        replicas may do this.
        """
        await self._note_overdue()
        async with self._database.connection() as connection:
            cursor = await connection.execute(_OWED_SQL, (self._everyone,))
            owed = [row[0] for row in await cursor.fetchall()]
        if owed and not await self._bus.takes_events():
            return 0  # It would be lost, and the pause after it is longer.
        backlogs = await asyncio.gather(*(self._bus.backlog(consumer) for consumer in owed))
        absent = frozenset(c for c, backlog in zip(owed, backlogs, strict=True) if backlog is None)
        if absent != self._absent:
            log.warning("outbox.absent", consumers=sorted(absent))
            self._absent = absent
        sent = 0
        for consumer, backlog in zip(owed, backlogs, strict=True):
            if backlog is not None:
                limit = RESEND_BATCH if backlog < FETCH_SIZE else _TO_ONE_THAT_IS_BEHIND
                sent += await self._resend_to(consumer, limit)
        return sent

    async def park_old(self) -> int:
        """Put aside what nobody has confirmed for a week, until a person looks; return how much that was."""
        parked = Counter[str]()
        for _ in range(_MOST_PARKED):
            async with self._database.connection() as connection:
                cursor = await connection.execute(_PARK_SQL, (RESEND_DAYS, CHUNK))
                parked.update(row[0] for row in await cursor.fetchall())
            if cursor.rowcount < CHUNK:
                break
        if parked:
            log.error("outbox.parked", count=parked.total(), consumers=sorted(parked))
        return parked.total()

    async def _note_overdue(self) -> None:
        """Note in `resends` who has not confirmed what is overdue; what is left then, in the next turn."""
        now = time.monotonic()
        old, until = now - RESEND_PAUSES.after(0), now + _NOTING_S
        own = list(takewhile(lambda item: item[1].since <= old, self._awaited.items()))
        for start in range(0, len(own), CHUNK):
            await self._note(
                {event_id: awaited.consumers for event_id, awaited in own[start : start + CHUNK]}
            )
            if time.monotonic() >= until:
                return
        count = CHUNK
        while count == CHUNK and time.monotonic() < until:
            async with self._database.connection() as connection:
                cursor = await connection.execute(_OVERDUE_SQL, (sorted(self._types), CHUNK))
                overdue = await cursor.fetchall()
            await self._note({event_id: self._missing(event_id, name) for event_id, name in overdue})
            count = len(overdue)

    def _missing(self, event_id: str, name: str) -> Iterable[str]:
        """Return who has not confirmed an event: all of its consumers, if this process has not sent it."""
        awaited = self._awaited.get(event_id)
        return awaited.consumers if awaited else self._consumers.get(name, ())

    async def _note(self, missing: Mapping[str, Iterable[str]]) -> None:
        pairs = [(event_id, consumer) for event_id, who in missing.items() for consumer in who]
        unwanted = [event_id for event_id, who in missing.items() if not who]
        async with self._database.connection() as connection:
            if pairs:
                events, consumers = zip(*pairs, strict=True)
                await connection.execute(_NOTE_SQL, {"events": list(events), "consumers": list(consumers)})
            if unwanted:
                await connection.execute(_FORGET_SQL, (unwanted,))
        for event_id in missing:
            self._awaited.pop(event_id, None)

    async def _resend_to(self, consumer: str, limit: int) -> int:
        parameters = {
            "consumer": consumer,
            "limit": limit,
            "pauses": list(RESEND_PAUSES.seconds),
            "days": RESEND_DAYS,
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_CLAIM_SQL, parameters)).fetchall()
        self._settled.extend((row[0], consumer) for row in rows if row[1] is None)
        envelopes = [
            Envelope.from_row(row, self._types, self._source, self._bus.confirm_subject, consumer)
            for row in rows
            if row[1] in self._types
        ]
        if envelopes:
            faultpoints.passing(f"{self._source}.relay_claimed")
            log.warning(
                "outbox.resent",
                consumer=consumer,
                count=len(envelopes),
                correlation_ids=[e.trail.correlation_id for e in envelopes],
            )
        for envelope in envelopes:
            await self._bus.publish(envelope)
        return len(envelopes)

    async def _settle(self, settled: Sequence[tuple[str, str]]) -> None:
        events, consumers = zip(*settled, strict=True)
        await self._database.transact(lambda connection: owe_no_more(connection, events, consumers))
