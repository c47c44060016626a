"""Orders and timelines in Postgres: one statement per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from kit.store.database import Connection, Database
from kit.values.trail import Trail
from order_svc.application.ports import OrderFilter, TimelineStep
from order_svc.domain.order import Order, Status
from order_svc.domain.pricing import PricedLine

_COLUMNS: Final = (
    "id, merchant_id, customer_id, status, reason, lines, currency, total_amount, tax_amount,"
    " payment_method_id, receipt_email, shipping_address, attribution, payment_id, journal_id,"
    " stock_sold, next_action_type, next_action_url, correlation_id, traceparent, version,"
    " created_at, updated_at, ended_at"
)

_INSERT: Final = """
INSERT INTO orders (id, merchant_id, customer_id, status, lines, currency, total_amount, tax_amount,
    payment_method_id, receipt_email, shipping_address, attribution, correlation_id, traceparent, version,
    created_at, updated_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::text[], %s::bigint[],
    %s::bigint[], %s::text[], %s::text[], %s::jsonb[], %s::jsonb[], %s::text[], %s::text[], %s::bigint[],
    %s::timestamptz[], %s::timestamptz[])
"""

_SAVE: Final = """
UPDATE orders o SET
    status = n.status, reason = n.reason, payment_id = n.payment_id, journal_id = n.journal_id,
    stock_sold = n.stock_sold, next_action_type = n.next_action_type,
    next_action_url = n.next_action_url, version = n.version, updated_at = n.updated_at,
    ended_at = n.ended_at
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::boolean[], %s::text[],
    %s::text[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
    AS n (id, status, reason, payment_id, journal_id, stock_sold, next_action_type, next_action_url,
          version, updated_at, ended_at)
WHERE o.id = n.id
"""

_CHANGED: Final = f"""
SELECT {_COLUMNS} FROM orders
JOIN unnest(%s::text[], %s::bigint[]) AS known (order_id, known_version)
    ON id = order_id AND version > known_version
"""

_COUNT_OPEN: Final = """
SELECT count(*) FROM (
    SELECT FROM orders WHERE ended_at IS NULL AND status = 'PROCESSING' AND created_at > %s LIMIT %s
) AS open
"""

_RECORD: Final = """
INSERT INTO timeline (order_id, event, at, service, step, detail, trace_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::text[],
    %s::uuid[])
ON CONFLICT DO NOTHING
"""

_TIMELINE: Final = """
SELECT order_id, event, at, service, step, detail, coalesce(replace(trace_id::text, '-', ''), '')
FROM timeline WHERE order_id = %s ORDER BY at, event
"""

# The newest orders of each status, of which the newest are taken: an index leads to each of them, and none to
# the newest of several statuses at once. The status is written out, because a plan that is kept for any
# status could not use the index that leaves the frequent one out.
_PAGE_OF_STATUS: Final = (
    "(SELECT id FROM orders WHERE {where} AND status = '{status}' ORDER BY id DESC LIMIT %(size)s)"
)


# How what follows the order's id begins where a step is called after its order.
_OF_THE_ORDER: Final = ("", ":")


def _page_sql(where: str, wanted: OrderFilter) -> bytes:
    """Return the statement for a page of the orders that `where` and the status describe."""
    everything = wanted.status is None and wanted.merchant_id is None and wanted.customer_id is None
    if everything:
        newest = f"SELECT id FROM orders WHERE {where} ORDER BY id DESC LIMIT %(size)s"
    else:
        statuses = [wanted.status] if wanted.status else list(Status)
        newest = " UNION ALL ".join(
            _PAGE_OF_STATUS.format(where=where, status=status.value) for status in statuses
        )
    return (
        f"SELECT {_COLUMNS} FROM orders"
        f" WHERE id = ANY (ARRAY(SELECT id FROM ({newest}) AS newest ORDER BY id DESC LIMIT %(size)s))"
        " ORDER BY id DESC"
    ).encode()


def _lines_json(lines: Sequence[PricedLine]) -> str:
    return orjson.dumps(
        [[line.sku, line.name, line.quantity, line.unit_amount, line.tax_amount] for line in lines]
    ).decode()


def _json(value: Mapping[str, str]) -> str:
    return orjson.dumps(dict(value)).decode()


def _order(row: Sequence[Any]) -> Order:
    return Order(
        id=row[0],
        merchant_id=row[1],
        customer_id=row[2],
        status=Status(row[3]),
        reason=row[4],
        lines=tuple(PricedLine(*line) for line in row[5]),
        currency=row[6],
        total_amount=row[7],
        tax_amount=row[8],
        payment_method_id=row[9],
        receipt_email=row[10],
        shipping_address=row[11],
        attribution=row[12],
        payment_id=row[13],
        journal_id=row[14],
        stock_sold=row[15],
        next_action_type=row[16],
        next_action_url=row[17],
        trail=Trail(row[18], row[19]),
        version=row[20],
        created_at=row[21],
        updated_at=row[22],
        ended_at=row[23],
    )


class PostgresOrders:
    """`Orders` on the connection of one step."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, orders: Sequence[Order]) -> None:
        """Insert new orders."""
        await self._connection.execute(
            _INSERT,
            (
                [o.id for o in orders],
                [o.merchant_id for o in orders],
                [o.customer_id for o in orders],
                [o.status.value for o in orders],
                [_lines_json(o.lines) for o in orders],
                [o.currency for o in orders],
                [o.total_amount for o in orders],
                [o.tax_amount for o in orders],
                [o.payment_method_id for o in orders],
                [o.receipt_email for o in orders],
                [_json(o.shipping_address) for o in orders],
                [_json(o.attribution) for o in orders],
                [o.trail.correlation_id for o in orders],
                [o.trail.traceparent for o in orders],
                [o.version for o in orders],
                [o.created_at for o in orders],
                [o.updated_at for o in orders],
            ),
        )

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        """Return orders by id, locked in id order until the step ends."""
        cursor = await self._connection.execute(
            f"SELECT {_COLUMNS} FROM orders WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            (sorted(set(order_ids)),),
        )
        return {row[0]: _order(row) for row in await cursor.fetchall()}

    async def save(self, orders: Sequence[Order]) -> None:
        """Write what moves of the orders have changed."""
        if not orders:
            return
        await self._connection.execute(
            _SAVE,
            (
                [o.id for o in orders],
                [o.status.value for o in orders],
                [o.reason for o in orders],
                [o.payment_id for o in orders],
                [o.journal_id for o in orders],
                [o.stock_sold for o in orders],
                [o.next_action_type for o in orders],
                [o.next_action_url for o in orders],
                [o.version for o in orders],
                [o.updated_at for o in orders],
                [o.ended_at for o in orders],
            ),
        )

    async def record(self, steps: Sequence[TimelineStep]) -> None:
        """Add steps to timelines; one that is there already is left as it is."""
        if not steps:
            return
        await self._connection.execute(
            _RECORD,
            (
                [s.order_id for s in steps],
                # A step of the order itself is called after it; what is the same need not be there twice.
                [s.event_id.removeprefix(s.order_id) for s in steps],
                [s.at for s in steps],
                [s.service for s in steps],
                [s.step for s in steps],
                [s.detail for s in steps],
                [s.trace_id or None for s in steps],
            ),
        )


class PostgresOrderReader:
    """`OrderReader` on the service's pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, order_id: str) -> Order | None:
        """Return one order."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE id = %s", (order_id,))
            row = await cursor.fetchone()
        return _order(row) if row else None

    async def changed(self, versions: Mapping[str, int]) -> list[Order]:
        """Return those of these orders (id → version) that have a higher version by now."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_CHANGED, (list(versions), list(versions.values())))
            return [_order(row) for row in await cursor.fetchall()]

    async def page(self, wanted: OrderFilter, *, before_id: str, size: int) -> list[Order]:
        """Return orders with ids below `before_id` (empty: from the newest), newest first."""
        conditions = {
            "customer_id = %(customer)s": wanted.customer_id,
            "merchant_id = %(merchant)s": wanted.merchant_id,
            "id < %(before)s": before_id or None,
        }
        where = " AND ".join(sql for sql, value in conditions.items() if value is not None) or "true"
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _page_sql(where, wanted),
                {
                    "customer": wanted.customer_id,
                    "merchant": wanted.merchant_id,
                    "before": before_id,
                    "size": size,
                },
            )
            return [_order(row) for row in await cursor.fetchall()]

    async def timeline(self, order_id: str) -> list[TimelineStep]:
        """Return the steps of one order, oldest first."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_TIMELINE, (order_id,))
            return [
                TimelineStep(id_, id_ + event if event[:1] in _OF_THE_ORDER else event, *rest)
                for id_, event, *rest in await cursor.fetchall()
            ]

    async def count_open(self, since: datetime, at_most: int) -> int:
        """Return how many orders are PROCESSING that were placed since then, or `at_most`.

        It reads the young end of the index `orders_open` and no further, however many have been there.
        """
        async with self._database.connection() as connection:
            cursor = await connection.execute(_COUNT_OPEN, (since, at_most))
            row = await cursor.fetchone()
        assert row is not None, "count() always has a row"
        return int(row[0])
