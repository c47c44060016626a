"""Payments and webhooks in Postgres: one statement per batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kit.store.database import Connection, Database
from kit.values.trail import Trail
from payment_svc.application.ports import Webhook
from payment_svc.domain.payment import Payment, Status
from payment_svc.domain.schedule import BETWEEN_LOOK_UPS, FIRST_LOOK_UP_S, next_look_up_s

_COLUMNS: Final = (
    "id, order_id, merchant_id, customer_id, amount, fee_amount, tax_amount, currency,"
    " payment_method_id, psp, correlation_id, traceparent, created_at, updated_at, status,"
    " amount_captured, amount_refunded, coalesce(psp_reference, ''), reason, decline_code, failure_message,"
    " next_action_type, next_action_url, attempt, look_ups, version"
)

_INSERT: Final = """
INSERT INTO payments (id, order_id, merchant_id, customer_id, status, amount, fee_amount, tax_amount,
    currency, payment_method_id, psp, correlation_id, traceparent, attempt, version, created_at, updated_at,
    look_up_at)
SELECT n.*, now() + make_interval(secs => %s)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::integer[], %s::bigint[],
    %s::timestamptz[], %s::timestamptz[]) AS n
ON CONFLICT (order_id) DO NOTHING
RETURNING id
"""

_SAVE: Final = """
UPDATE payments p SET
    status = n.status, amount_captured = n.amount_captured, psp_reference = nullif(n.psp_reference, ''),
    reason = n.reason, decline_code = n.decline_code, failure_message = n.failure_message,
    next_action_type = n.next_action_type, next_action_url = n.next_action_url, version = n.version,
    updated_at = n.updated_at,
    look_up_at = now() + make_interval(secs => n.next_look_up_s)
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::bigint[], %s::timestamptz[], %s::float8[])
    AS n (id, status, amount_captured, psp_reference, reason, decline_code, failure_message,
          next_action_type, next_action_url, version, updated_at, next_look_up_s)
WHERE p.id = n.id
"""

_CLAIM: Final = f"""
UPDATE payments SET look_ups = look_ups + 1,
    look_up_at = now() + make_interval(secs =>
        (%(pauses)s::float8[])[least(look_ups + 1, cardinality(%(pauses)s::float8[]))])
WHERE id IN (SELECT id FROM payments WHERE look_up_at <= now()
             ORDER BY look_up_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
"""


def _payment(row: Sequence[Any]) -> Payment:
    return Payment(
        id=row[0],
        order_id=row[1],
        merchant_id=row[2],
        customer_id=row[3],
        amount=row[4],
        fee_amount=row[5],
        tax_amount=row[6],
        currency=row[7],
        payment_method_id=row[8],
        psp=row[9],
        trail=Trail(row[10], row[11]),
        created_at=row[12],
        updated_at=row[13],
        status=Status(row[14]),
        amount_captured=row[15],
        amount_refunded=row[16],
        psp_reference=row[17],
        reason=row[18],
        decline_code=row[19],
        failure_message=row[20],
        next_action_type=row[21],
        next_action_url=row[22],
        attempt=row[23],
        look_ups=row[24],
        version=row[25],
    )


class PostgresPayments:
    """`Payments` on the connection of one step."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, payments: Sequence[Payment]) -> list[Payment]:
        """Insert new payments and return those that are new; an order has one."""
        cursor = await self._connection.execute(
            _INSERT,
            (
                FIRST_LOOK_UP_S,
                [p.id for p in payments],
                [p.order_id for p in payments],
                [p.merchant_id for p in payments],
                [p.customer_id for p in payments],
                [p.status.value for p in payments],
                [p.amount for p in payments],
                [p.fee_amount for p in payments],
                [p.tax_amount for p in payments],
                [p.currency for p in payments],
                [p.payment_method_id for p in payments],
                [p.psp for p in payments],
                [p.trail.correlation_id for p in payments],
                [p.trail.traceparent for p in payments],
                [p.attempt for p in payments],
                [p.version for p in payments],
                [p.created_at for p in payments],
                [p.updated_at for p in payments],
            ),
        )
        new = {row[0] for row in await cursor.fetchall()}
        return [payment for payment in payments if payment.id in new]

    async def lock(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        """Return payments by id, locked in id order until the step ends."""
        cursor = await self._connection.execute(
            f"SELECT {_COLUMNS} FROM payments WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            (sorted(set(payment_ids)),),
        )
        return {row[0]: _payment(row) for row in await cursor.fetchall()}

    async def save(self, payments: Sequence[Payment]) -> None:
        """Write what moves of the payments have changed."""
        if not payments:
            return
        await self._connection.execute(
            _SAVE,
            (
                [p.id for p in payments],
                [p.status.value for p in payments],
                [p.amount_captured for p in payments],
                [p.psp_reference for p in payments],
                [p.reason for p in payments],
                [p.decline_code for p in payments],
                [p.failure_message for p in payments],
                [p.next_action_type for p in payments],
                [p.next_action_url for p in payments],
                [p.version for p in payments],
                [p.updated_at for p in payments],
                [next_look_up_s(p) for p in payments],
            ),
        )

    async def store_webhooks(self, webhooks: Sequence[Webhook]) -> frozenset[str]:
        """Store webhooks and return the event ids that were not seen before."""
        cursor = await self._connection.execute(
            "INSERT INTO webhooks (event_id, type, payment_id, payload)"
            " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[])"
            " ON CONFLICT DO NOTHING RETURNING event_id",
            (
                [w.event_id for w in webhooks],
                [w.type for w in webhooks],
                [w.fact.payment_id if w.fact else "" for w in webhooks],
                [w.payload for w in webhooks],
            ),
        )
        return frozenset(row[0] for row in await cursor.fetchall())

    async def note_outcomes(self, outcomes: Sequence[tuple[str, str]]) -> None:
        """Note what came of webhooks where it is not `applied`."""
        if not outcomes:
            return
        await self._connection.execute(
            "UPDATE webhooks w SET outcome = n.outcome"
            " FROM unnest(%s::text[], %s::text[]) AS n (event_id, outcome) WHERE w.event_id = n.event_id",
            ([event_id for event_id, _ in outcomes], [outcome for _, outcome in outcomes]),
        )


class PostgresPaymentReader:
    """`PaymentReader` on the service's pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, payment_id: str) -> Payment | None:
        """Return one payment."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(f"SELECT {_COLUMNS} FROM payments WHERE id = %s", (payment_id,))
            row = await cursor.fetchone()
        return _payment(row) if row else None

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        """Return payments whose time to be looked up has come, and put off their next time by the lease."""
        async with self._database.connection() as connection:
            pauses = [max(lease_s, pause_s) for pause_s in BETWEEN_LOOK_UPS.seconds]
            cursor = await connection.execute(_CLAIM, {"pauses": pauses, "limit": limit})
            return [_payment(row) for row in await cursor.fetchall()]
