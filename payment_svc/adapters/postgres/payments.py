"""Payments and webhooks in Postgres: one statement per batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from kit.store.database import Connection, Database
from kit.values.trail import Trail
from payment_svc.application.ports import Webhook
from payment_svc.domain.attempt import Attempt, Kind, State
from payment_svc.domain.decision import Decided
from payment_svc.domain.payment import Payment, Status
from payment_svc.domain.schedule import BETWEEN_LOOK_UPS, FIRST_LOOK_UP_S, LEAVE_TO_CALL_S, next_look_up_s

_PAYMENT: Final = (
    "p.id, p.order_id, p.merchant_id, p.customer_id, p.amount, p.fee_amount, p.tax_amount, p.currency,"
    " p.payment_method_id, p.correlation_id, p.traceparent, p.created_at, p.updated_at, p.status,"
    " p.amount_captured, p.amount_refunded, p.version"
)
_ATTEMPT: Final = (
    "a.payment_id, a.psp, a.amount, a.started_at, a.number, a.operation, a.kind, a.state,"
    " coalesce(a.psp_reference, ''), a.reason, a.decline_code, a.message, a.next_action_type,"
    " a.next_action_url, a.look_ups, coalesce(a.call_until > now(), false)"
)

# A payment and its first attempt at once, with leave to call the PSP from now on: the time of the transaction
# is that of its begin.
_INSERT: Final = """
WITH new AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
        %s::timestamptz[], %s::timestamptz[], %s::text[]) AS n (id, order_id, merchant_id, customer_id,
        status, amount, fee_amount, tax_amount, currency, payment_method_id, correlation_id, traceparent,
        version, created_at, updated_at, psp)
), added AS (
    INSERT INTO payments (id, order_id, merchant_id, customer_id, status, amount, fee_amount, tax_amount,
        currency, payment_method_id, correlation_id, traceparent, version, created_at, updated_at)
    SELECT id, order_id, merchant_id, customer_id, status, amount, fee_amount, tax_amount, currency,
        payment_method_id, correlation_id, traceparent, version, created_at, updated_at
    FROM new
    ON CONFLICT (order_id) DO NOTHING
    RETURNING id
)
INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, started_at, look_up_at,
    call_until)
SELECT new.id, 'CHARGE', 1, 1, new.amount, new.psp, 'OPEN', new.created_at, now() + make_interval(secs => %s),
    clock_timestamp() + make_interval(secs => %s)
FROM new JOIN added USING (id)
RETURNING payment_id
"""

_SAVE: Final = """
WITH moved AS (
    UPDATE payments p SET status = n.status, amount_captured = n.amount_captured, version = n.version,
        updated_at = n.updated_at
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[])
        AS n (id, status, amount_captured, version, updated_at)
    WHERE p.id = n.id
)
UPDATE attempts a SET
    state = n.state, psp_reference = nullif(n.psp_reference, ''), reason = n.reason,
    decline_code = n.decline_code, message = n.message, next_action_type = n.next_action_type,
    next_action_url = n.next_action_url, look_up_at = now() + make_interval(secs => n.next_look_up_s)
FROM unnest(%s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::float8[])
    AS n (payment_id, kind, number, state, psp_reference, reason, decline_code, message, next_action_type,
          next_action_url, next_look_up_s)
WHERE (a.payment_id, a.kind, a.number) = (n.payment_id, n.kind, n.number)
"""

_BEGIN: Final = """
INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, started_at, look_up_at)
SELECT n.*, now() + make_interval(secs => %s)
FROM unnest(%s::text[], %s::text[], %s::smallint[], %s::smallint[], %s::bigint[], %s::text[], %s::text[],
    %s::timestamptz[]) AS n
"""

_CLAIM: Final = f"""
WITH due AS (
    UPDATE attempts SET look_ups = look_ups + 1,
        look_up_at = now() + make_interval(secs =>
            (%(pauses)s::float8[])[least(look_ups + 1, cardinality(%(pauses)s::float8[]))])
    WHERE (payment_id, kind, number) IN (SELECT payment_id, kind, number FROM attempts
        WHERE look_up_at <= now() ORDER BY look_up_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING *
)
SELECT {_PAYMENT}, {_ATTEMPT} FROM due a JOIN payments p ON p.id = a.payment_id
"""

# Whoever decides a payment holds its row, and so does this: one of them comes first, and the other sees it.
_TAKE_LEAVE: Final = """
WITH held AS (
    SELECT id FROM payments WHERE id = ANY(%s) ORDER BY id FOR UPDATE
)
UPDATE attempts a SET call_until = now() + make_interval(secs => %s)
FROM held JOIN unnest(%s::text[], %s::text[], %s::smallint[], %s::float8[])
    AS n (payment_id, kind, number, key_lifetime_s) ON n.payment_id = held.id
WHERE (a.payment_id, a.kind, a.number) = (n.payment_id, n.kind, n.number)
    AND a.state = 'OPEN' AND a.psp_reference IS NULL
    AND a.started_at > now() - make_interval(secs => n.key_lifetime_s)
RETURNING a.payment_id
"""

_WIDTH: Final = _PAYMENT.count(",") + 1


def _attempt(row: Sequence[Any]) -> Attempt:
    return Attempt(
        payment_id=row[0],
        psp=row[1],
        amount=row[2],
        started_at=row[3],
        number=row[4],
        operation=row[5],
        kind=Kind(row[6]),
        state=State(row[7]),
        psp_reference=row[8],
        reason=row[9],
        decline_code=row[10],
        message=row[11],
        next_action_type=row[12],
        next_action_url=row[13],
        look_ups=row[14],
        has_leave=row[15],
    )


def _payment(row: Sequence[Any], attempts: Sequence[Attempt]) -> Payment:
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
        trail=Trail(row[9], row[10]),
        created_at=row[11],
        updated_at=row[12],
        status=Status(row[13]),
        amount_captured=row[14],
        amount_refunded=row[15],
        version=row[16],
        attempts=tuple(attempts),
    )


def _payments(rows: Iterable[Sequence[Any]]) -> list[Payment]:
    """Return payments with their attempts, of rows of `_PAYMENT` and `_ATTEMPT` in which each is together."""
    groups = [list(rows_of_one) for _, rows_of_one in groupby(rows, key=itemgetter(0))]
    return [_payment(group[0], [_attempt(row[_WIDTH:]) for row in group]) for group in groups]


class PostgresPayments:
    """`Payments` on the connection of one step."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, payments: Sequence[Payment]) -> list[Payment]:
        """Insert new payments and return those that are new; an order has one."""
        cursor = await self._connection.execute(
            _INSERT,
            (
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
                [p.trail.correlation_id for p in payments],
                [p.trail.traceparent for p in payments],
                [p.version for p in payments],
                [p.created_at for p in payments],
                [p.updated_at for p in payments],
                [p.current.psp for p in payments],
                FIRST_LOOK_UP_S,
                LEAVE_TO_CALL_S,
            ),
        )
        new = {row[0] for row in await cursor.fetchall()}
        return [payment for payment in payments if payment.id in new]

    async def lock(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        """Return payments by id, locked in id order until the step ends.

        The attempts are read by a statement of their own, which sees what the last holder of the lock wrote.
        """
        ids = sorted(set(payment_ids))
        cursor = await self._connection.execute(
            f"SELECT {_PAYMENT} FROM payments p WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (ids,)
        )
        rows = await cursor.fetchall()
        cursor = await self._connection.execute(
            f"SELECT {_ATTEMPT} FROM attempts a WHERE payment_id = ANY(%s) ORDER BY operation, number", (ids,)
        )
        attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
        for row in await cursor.fetchall():
            attempts[row[0]].append(_attempt(row))
        return {row[0]: _payment(row, attempts[row[0]]) for row in rows}

    async def save(self, before: Mapping[str, Payment], after: Sequence[Payment]) -> None:
        """Write what moves of the payments have changed, and the attempts that they have begun."""
        if not after:
            return
        known = [(p, a) for p in after for a in p.attempts[: len(before[p.id].attempts)]]
        await self._connection.execute(
            _SAVE,
            (
                [p.id for p in after],
                [p.status.value for p in after],
                [p.amount_captured for p in after],
                [p.version for p in after],
                [p.updated_at for p in after],
                [a.payment_id for _, a in known],
                [a.kind.value for _, a in known],
                [a.number for _, a in known],
                [a.state.value for _, a in known],
                [a.psp_reference for _, a in known],
                [a.reason for _, a in known],
                [a.decline_code for _, a in known],
                [a.message for _, a in known],
                [a.next_action_type for _, a in known],
                [a.next_action_url for _, a in known],
                [next_look_up_s(p) if a is p.current else None for p, a in known],
            ),
        )
        await self._begin([a for p in after for a in p.attempts[len(before[p.id].attempts) :]])

    async def _begin(self, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            return
        await self._connection.execute(
            _BEGIN,
            (
                FIRST_LOOK_UP_S,
                [a.payment_id for a in attempts],
                [a.kind.value for a in attempts],
                [a.number for a in attempts],
                [a.operation for a in attempts],
                [a.amount for a in attempts],
                [a.psp for a in attempts],
                [a.state.value for a in attempts],
                [a.started_at for a in attempts],
            ),
        )

    async def record(self, decisions: Sequence[Decided]) -> None:
        """Write down what people have decided, and why."""
        if not decisions:
            return
        await self._connection.execute(
            "INSERT INTO decisions (payment_id, number, outcome, reason, decided_by, psp_said, against_psp,"
            " decided_at)"
            " SELECT * FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::text[], %s::text[],"
            " %s::text[], %s::boolean[], %s::timestamptz[])",
            (
                [d.payment_id for d in decisions],
                [d.number for d in decisions],
                [d.outcome.value for d in decisions],
                [d.reason for d in decisions],
                [d.decided_by for d in decisions],
                [d.psp_said for d in decisions],
                [d.against_psp for d in decisions],
                [d.decided_at for d in decisions],
            ),
        )

    async def store_webhooks(self, webhooks: Sequence[Webhook]) -> frozenset[tuple[str, str]]:
        """Store webhooks and return the (PSP, event id) of those that were not seen before."""
        if not webhooks:
            return frozenset()
        cursor = await self._connection.execute(
            "INSERT INTO webhooks (psp, event_id, type, payment_id, payload)"
            " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[])"
            " ON CONFLICT DO NOTHING RETURNING psp, event_id",
            (
                [w.psp for w in webhooks],
                [w.event_id for w in webhooks],
                [w.type for w in webhooks],
                [w.fact.payment_id if w.fact else "" for w in webhooks],
                [w.payload for w in webhooks],
            ),
        )
        return frozenset((psp, event_id) for psp, event_id in await cursor.fetchall())

    async def note_outcomes(self, outcomes: Sequence[tuple[Webhook, str]]) -> None:
        """Note what came of webhooks where it is not `applied`."""
        if not outcomes:
            return
        await self._connection.execute(
            "UPDATE webhooks w SET outcome = n.outcome"
            " FROM unnest(%s::text[], %s::text[], %s::text[]) AS n (psp, event_id, outcome)"
            " WHERE (w.event_id, w.psp) = (n.event_id, n.psp)",
            (
                [webhook.psp for webhook, _ in outcomes],
                [webhook.event_id for webhook, _ in outcomes],
                [outcome for _, outcome in outcomes],
            ),
        )


class PostgresPaymentReader:
    """`PaymentReader` on the service's pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, payment_id: str) -> Payment | None:
        """Return one payment."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                f"SELECT {_PAYMENT}, {_ATTEMPT} FROM payments p JOIN attempts a ON a.payment_id = p.id"
                " WHERE p.id = %s ORDER BY a.operation, a.number",
                (payment_id,),
            )
            found = _payments(await cursor.fetchall())
        return found[0] if found else None

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        """Return payments whose time to be looked up has come, and put off their next time by the lease."""
        async with self._database.connection() as connection:
            pauses = [max(lease_s, pause_s) for pause_s in BETWEEN_LOOK_UPS.seconds]
            cursor = await connection.execute(_CLAIM, {"pauses": pauses, "limit": limit})
            return _payments(await cursor.fetchall())

    async def take_leave(
        self, payments: Sequence[Payment], key_lifetimes: Mapping[str, timedelta]
    ) -> Sequence[bool]:
        """Put on record that payments are about to be charged, and return which of them may be."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _TAKE_LEAVE,
                (
                    [p.id for p in payments],
                    LEAVE_TO_CALL_S,
                    [p.id for p in payments],
                    [p.current.kind.value for p in payments],
                    [p.current.number for p in payments],
                    [key_lifetimes[p.current.psp].total_seconds() for p in payments],
                ),
            )
            may = {row[0] for row in await cursor.fetchall()}
        return [payment.id in may for payment in payments]
