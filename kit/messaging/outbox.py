"""Events that leave with the effect that caused them, and are sent until everyone has acted on them.

An event's row is inserted in the transaction of its effect. After the commit it is published straight
from memory. Each consumer confirms after its own commit; when the last one has, the row is deleted.
A row that is due and still there is sent again, whatever went wrong: this process died before it could
publish, the broker lost its disk, a consumer was down or failed. One mechanism covers them all, so the
broker's own acknowledgements are not needed for correctness (docs/decisions/0003).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from kit.messaging.bus import Bus, Envelope
from kit.messaging.events import EventType, NewEvent, event_type
from kit.observe import faultpoints
from kit.store.database import Connection, Database
from kit.values.clock import Clock
from kit.values.ids import NewId
from kit.values.pauses import Pauses

log = structlog.get_logger(__name__)

# Between two sends of one event. A checkout is normally done long before the first has passed; earlier would
# send again what is only waiting in a queue.
RESEND_PAUSES: Final = Pauses.doubling(5.0, longest_s=60.0)

# After that a person has to look; inboxes remember for longer, so no effect can come twice.
RESEND_DAYS: Final = 7

# Rows a relay claims at once: enough to catch up quickly, few enough to be sent before the claim is due.
RELAY_BATCH: Final = 500

# Sends whose confirmations were missed (another replica got them) are forgotten after this time.
_FORGET_AFTER_S: Final = 600.0

_DUE_SQL: Final = """
UPDATE outbox SET
    sends = sends + 1,
    next_send_at = now() + make_interval(secs =>
        (%(pauses)s::float8[])[least(sends + 1, cardinality(%(pauses)s::float8[]))])
WHERE event_id IN (
    SELECT event_id FROM outbox WHERE next_send_at <= now()
        AND created_at > now() - make_interval(days => %(days)s)
    ORDER BY next_send_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING event_id, type, aggregate, payload, correlation_id, traceparent, created_at, sends
"""


@dataclass(slots=True)
class _Awaited:
    """Consumers that have not confirmed an event this process sent."""

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
        self._awaited: dict[str, _Awaited] = {}
        self._confirmed: list[str] = []

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
            " created_at, next_send_at) SELECT e.*, %s, now() + make_interval(secs => %s)"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[]) AS e",
            (
                now,
                RESEND_PAUSES.after(0),
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
                continue
            awaited.consumers.discard(consumer)
            if not awaited.consumers:
                del self._awaited[event_id]
                self._confirmed.append(event_id)

    async def forget_confirmed(self) -> int:
        """Delete the events that everyone has confirmed and return how many they were."""
        confirmed, self._confirmed = self._confirmed, []
        if not confirmed:
            return 0
        try:
            async with self._database.connection() as connection:
                await connection.execute("DELETE FROM outbox WHERE event_id = ANY(%s)", (sorted(confirmed),))
        except Exception:
            # Nothing is lost: they are deleted at the next turn.
            self._confirmed.extend(confirmed)
            raise
        return len(confirmed)

    async def resend_due(self) -> int:
        """Send again what is due and return how much that was.

        Rows are claimed with SKIP LOCKED and pushed into the future before they are sent, so any number of
        replicas may do this. Each send has a message id of its own, or the broker would swallow it as a
        duplicate.
        """
        parameters = {
            "pauses": list(RESEND_PAUSES.seconds),
            "limit": RELAY_BATCH,
            "days": RESEND_DAYS,
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_DUE_SQL, parameters)).fetchall()
        unknown = sorted({row[1] for row in rows if row[1] not in self._types})
        if unknown:
            # Written by another version of this service; that version, or the next, sends them.
            log.error("outbox.unknown_types", types=unknown)
        envelopes = [
            Envelope.from_row(row, self._types, self._source, self._bus.confirm_subject)
            for row in rows
            if row[1] in self._types
        ]
        if envelopes:
            faultpoints.passing(f"{self._source}.relay_claimed")
            log.warning(
                "outbox.resent",
                count=len(envelopes),
                correlation_ids=[e.trail.correlation_id for e in envelopes],
            )
            await self.publish(envelopes)
        self._forget_unanswered()
        return len(envelopes)

    def _forget_unanswered(self) -> None:
        limit = time.monotonic() - _FORGET_AFTER_S
        for event_id in [i for i, awaited in self._awaited.items() if awaited.since < limit]:
            del self._awaited[event_id]
