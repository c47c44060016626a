"""Deliveries in Postgres: one statement per batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog

from kit.store.database import Connection, Database
from kit.values.trail import Trail
from notification_svc.domain.delivery import (
    Delivery,
    Facts,
    Line,
    Move,
    Refused,
    Status,
    Template,
    after_attempt,
)

log = structlog.get_logger(__name__)

# How long a claim holds: longer than the slowest batch takes, so that nothing is sent twice only because a
# mail server is slow; short enough that what a dead process had claimed still arrives soon.
LEASE: Final = timedelta(seconds=60)

_COLUMNS: Final = (
    "id, order_id, channel, template, recipient, facts, correlation_id, traceparent, status, attempts,"
    " last_error, requested_at, sent_at"
)

_ADD_SQL: Final = """
INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent,
    status, attempts, last_error, requested_at, due_at)
SELECT d.id, d.order_id, d.channel, d.template, d.recipient, d.facts::jsonb, d.correlation_id, d.traceparent,
    d.status, d.attempts, d.last_error, d.requested_at, now() + %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::int[], %s::text[], %s::timestamptz[])
    AS d (id, order_id, channel, template, recipient, facts, correlation_id, traceparent,
    status, attempts, last_error, requested_at)
ON CONFLICT (order_id, template, channel) DO NOTHING
RETURNING id
"""

_CLAIM_SQL: Final = f"""
UPDATE deliveries SET attempts = attempts + 1, due_at = now() + %s
WHERE (order_id, template, channel) IN (
    SELECT order_id, template, channel FROM deliveries
    WHERE status = 'PENDING' AND due_at <= now() AND id <> ALL (%s)
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
)
RETURNING {_COLUMNS}
"""

# What was taken is SENT whoever says so. A failure counts only if nobody has begun another attempt since.
# The first and last order leave the partitions alone that hold none of them.
_MOVE_SQL: Final = """
UPDATE deliveries AS d SET
    status = m.status,
    last_error = m.error,
    sent_at = CASE WHEN m.status = 'SENT' THEN now() END,
    due_at = now() + make_interval(secs => m.pause_s)
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::float8[])
    AS m (id, order_id, attempt, status, error, pause_s)
WHERE d.order_id = m.order_id AND d.id = m.id AND d.order_id BETWEEN %s AND %s
    AND d.status = 'PENDING' AND (m.status = 'SENT' OR d.attempts = m.attempt)
"""


_NO_FACTS: Final = Facts(merchant_id="", amount=0, tax_amount=0, currency="")


class PostgresRequests:
    """The deliveries inside a step; writes with its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Store deliveries and return those that are new."""
        # Sorted by what must be unique, so that two steps with the same orders cannot deadlock.
        ordered = sorted(deliveries, key=lambda d: (d.order_id, d.template, d.channel))
        cursor = await self._connection.execute(
            _ADD_SQL,
            (
                LEASE,
                [d.id for d in ordered],
                [d.order_id for d in ordered],
                [d.channel for d in ordered],
                [d.template.value for d in ordered],
                [d.recipient for d in ordered],
                [_facts_text(d.facts) for d in ordered],
                [d.trail.correlation_id for d in ordered],
                [d.trail.traceparent for d in ordered],
                [d.status.value for d in ordered],
                [d.attempts for d in ordered],
                [d.last_error for d in ordered],
                [d.requested_at for d in ordered],
            ),
        )
        added = {row[0] for row in await cursor.fetchall()}
        return [delivery for delivery in deliveries if delivery.id in added]


class PostgresDeliveries:
    """The deliveries outside of steps; each call is one statement with its own commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim_due(self, limit: int, *, but_not: Collection[str] = ()) -> list[Delivery]:
        """Claim due deliveries for `LEASE` and return them; not those that the caller is still at work on."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_CLAIM_SQL, (LEASE, list(but_not), limit))
            rows = await cursor.fetchall()
        readable: list[Delivery] = []
        unreadable: list[Move] = []
        for delivery, problem in map(_delivery, rows):
            if problem:
                unreadable.append(after_attempt(delivery, Refused(problem, for_good=False)))
            else:
                readable.append(delivery)
        if unreadable:
            # Another version may have written them, and may read them at their next attempt.
            ids = [move.delivery_id for move in unreadable]
            log.error("deliveries.unreadable", ids=ids, error=unreadable[0].error)
            await self.move(unreadable)
        return readable

    async def move(self, moves: Sequence[Move]) -> None:
        """Note what attempts have made of deliveries."""
        ordered = sorted(moves, key=lambda move: (move.order_id, move.delivery_id))
        async with self._database.connection() as connection:
            await connection.execute(
                _MOVE_SQL,
                (
                    [move.delivery_id for move in ordered],
                    [move.order_id for move in ordered],
                    [move.attempt for move in ordered],
                    [move.to.value for move in ordered],
                    [move.error for move in ordered],
                    [move.pause_s for move in ordered],
                    ordered[0].order_id,
                    ordered[-1].order_id,
                ),
            )

    async def of_order(self, order_id: str) -> list[Delivery]:
        """Return the deliveries of one order, oldest first."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                f"SELECT {_COLUMNS} FROM deliveries WHERE order_id = %s ORDER BY requested_at, id",
                (order_id,),
            )
            # What became of a delivery can be told even if what it was to say cannot be read.
            return [delivery for delivery, _ in map(_delivery, await cursor.fetchall())]


def _facts_text(facts: Facts) -> str:
    return orjson.dumps(facts).decode()


def _delivery(row: Sequence[Any]) -> tuple[Delivery, str]:
    """Return the delivery of a row; without its facts, and with the reason, if they cannot be read."""
    id_, order_id, channel, template, recipient, document, correlation_id, traceparent, status = row[:9]
    facts, problem = _NO_FACTS, ""
    try:
        facts = Facts(**{**document, "lines": tuple([Line(**line) for line in document["lines"]])})
    except (KeyError, TypeError) as error:
        problem = f"not readable: {error!r}"
    delivery = Delivery(
        id=id_,
        order_id=order_id,
        channel=channel,
        template=Template(template),
        recipient=recipient,
        facts=facts,
        trail=Trail(correlation_id, traceparent),
        status=Status(status),
        attempts=row[9],
        last_error=row[10],
        requested_at=row[11],
        sent_at=row[12],
    )
    return delivery, problem
