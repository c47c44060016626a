"""Stock and reservations on Postgres: one statement reads a batch, one writes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from inventory_svc.application.ports import Survey
from inventory_svc.domain.reservation import RESERVATION_TTL, Reservation, Status
from inventory_svc.domain.stock import ProductKey, StockChange, StockLevel
from kit.store.database import Connection, Outdated

_SURVEY: Final = """
WITH levels AS (
    SELECT p.merchant_id, p.sku, p.on_hand, p.reserved, p.version
    FROM unnest(%s::text[], %s::text[]) AS asked (merchant_id, sku)
        JOIN products p USING (merchant_id, sku)
    {lock}
)
SELECT * FROM levels
UNION ALL
SELECT NULL, order_id, 0, 0, 0 FROM reservations WHERE order_id = ANY(%s::text[])
"""
_SURVEY_FREE: Final = _SURVEY.format(lock="")
# Who has lost a race before takes the rows first, in the order in which all writers take them.
_SURVEY_LOCKED: Final = _SURVEY.format(lock="ORDER BY p.merchant_id, p.sku FOR NO KEY UPDATE OF p")

_RESERVATIONS: Final = """
SELECT r.id, r.order_id, r.merchant_id, r.status, r.version, array_agg(l.sku), array_agg(l.quantity)
FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id
WHERE r.order_id = ANY(%s::text[])
GROUP BY r.id
"""

# The rows come sorted and are found by their index, so that writers take them in the same order.
_CHANGE_STOCK: Final = """
WITH changed AS (
    UPDATE products p SET
        on_hand = p.on_hand + c.on_hand,
        reserved = p.reserved + c.reserved,
        sold = p.sold + c.sold,
        version = p.version + 1,
        updated_at = now()
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS c (merchant_id, sku, on_hand, reserved, sold, expected_version)
    WHERE p.merchant_id = c.merchant_id AND p.sku = c.sku
        AND p.version = coalesce(c.expected_version, p.version)
    RETURNING 1
)"""

_ADD: Final = (
    _CHANGE_STOCK
    + """, added AS (
    INSERT INTO reservations (id, order_id, merchant_id, status, version, expires_at)
    SELECT r.*, now() + %s FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) AS r
), lines AS (
    INSERT INTO reservation_lines (reservation_id, sku, quantity)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
)
SELECT count(*) FROM changed
"""
)

_MOVE: Final = (
    _CHANGE_STOCK
    + """, moved AS (
    UPDATE reservations r SET status = m.status, version = m.version, updated_at = now()
    FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS m (id, status, version)
    WHERE r.id = m.id AND r.version = m.version - 1
    RETURNING 1
)
SELECT (SELECT count(*) FROM changed), (SELECT count(*) FROM moved)
"""
)


class PostgresStockroom:
    """The stockroom, in the transaction of one step.

    Args:
        lock: take the rows of products when they are read. Optimism is cheaper as long as it is right; a
            step that starts again has been wrong.
    """

    def __init__(self, connection: Connection, *, lock: bool) -> None:
        self._connection = connection
        self._lock = lock

    async def survey(self, order_ids: Collection[str], products: Collection[ProductKey]) -> Survey:
        """Return what has to be known before stock is held for these orders."""
        cursor = await self._connection.execute(
            _SURVEY_LOCKED if self._lock else _SURVEY_FREE,
            ([key.merchant_id for key in products], [key.sku for key in products], list(order_ids)),
        )
        levels: dict[ProductKey, StockLevel] = {}
        reserved: list[str] = []
        for merchant_id, name, on_hand, reserved_units, version in await cursor.fetchall():
            if merchant_id is None:
                reserved.append(name)
            else:
                levels[ProductKey(merchant_id, name)] = StockLevel(on_hand, reserved_units, version)
        return Survey(levels, frozenset(reserved))

    async def reservations(self, order_ids: Collection[str]) -> dict[str, Reservation]:
        """Return the reservations of those orders that have one, by order."""
        cursor = await self._connection.execute(_RESERVATIONS, (list(order_ids),))
        return {
            order_id: Reservation(
                id_,
                order_id,
                merchant_id,
                {ProductKey(merchant_id, sku): units for sku, units in zip(skus, quantities, strict=True)},
                Status(status),
                version,
            )
            for id_, order_id, merchant_id, status, version, skus, quantities in await cursor.fetchall()
        }

    async def add(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        """Store new reservations and change the stock; raises `Outdated` if a version has moved on."""
        lines = [(r.id, key.sku, units) for r in reservations for key, units in r.lines.items()]
        cursor = await self._connection.execute(
            _ADD,
            (
                *_columns(changes),
                RESERVATION_TTL,
                [r.id for r in reservations],
                [r.order_id for r in reservations],
                [r.merchant_id for r in reservations],
                [r.status.value for r in reservations],
                [r.version for r in reservations],
                [line[0] for line in lines],
                [line[1] for line in lines],
                [line[2] for line in lines],
            ),
        )
        _expect(await cursor.fetchone(), len(changes))

    async def move(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        """Store moved reservations and change the stock; raises `Outdated` if a version has moved on."""
        cursor = await self._connection.execute(
            _MOVE,
            (
                *_columns(changes),
                [r.id for r in reservations],
                [r.status.value for r in reservations],
                [r.version for r in reservations],
            ),
        )
        _expect(await cursor.fetchone(), len(changes), len(reservations))


def _columns(changes: Sequence[StockChange]) -> tuple[list[Any], ...]:
    return (
        [change.product.merchant_id for change in changes],
        [change.product.sku for change in changes],
        [change.on_hand for change in changes],
        [change.reserved for change in changes],
        [change.sold for change in changes],
        [change.expected_version for change in changes],
    )


def _expect(row: tuple[Any, ...] | None, *counts: int) -> None:
    if row != counts:
        raise Outdated(f"stock or reservations changed meanwhile: wrote {row}, expected {counts}")
