"""The catalogue on Postgres."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from inventory_svc.domain.product import AdjustStock, Price, Product, PutProduct
from inventory_svc.domain.stock import ProductKey
from kit.store.database import Connection

_COLUMNS: Final = (
    "p.merchant_id, p.sku, p.name, p.unit_amount, p.currency, p.on_hand, p.reserved, p.sold, p.version,"
    " p.created_at, p.updated_at"
)
_ASKED: Final = (
    "unnest(%s::text[], %s::text[]) AS asked (merchant_id, sku) JOIN products p USING (merchant_id, sku)"
)
_GET: Final = f"SELECT {_COLUMNS} FROM {_ASKED}"
_PRICES: Final = f"SELECT p.merchant_id, p.sku, p.name, p.unit_amount, p.currency FROM {_ASKED}"
_PAGE: Final = (
    f"SELECT {_COLUMNS} FROM products p WHERE p.merchant_id = %s AND p.sku > %s ORDER BY p.sku LIMIT %s"
)

_PUT: Final = f"""
INSERT INTO products AS p (merchant_id, sku, name, unit_amount, currency)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
ON CONFLICT (merchant_id, sku) DO UPDATE SET
    name = excluded.name, unit_amount = excluded.unit_amount, currency = excluded.currency,
    updated_at = now()
RETURNING {_COLUMNS}
"""

# The guard leaves out what would take reserved units; the constraints would refuse the whole batch.
_ADJUST: Final = f"""
WITH asked AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
        AS a (id, merchant_id, sku, delta, reason)
), adjusted AS (
    UPDATE products p SET
        on_hand = p.on_hand + asked.delta,
        received = p.received + asked.delta,
        version = p.version + 1,
        updated_at = now()
    FROM asked
    WHERE p.merchant_id = asked.merchant_id AND p.sku = asked.sku
        AND p.on_hand - p.reserved + asked.delta >= 0
    RETURNING {_COLUMNS}
), logged AS (
    INSERT INTO stock_adjustments (id, merchant_id, sku, delta, reason)
    SELECT asked.* FROM asked JOIN adjusted USING (merchant_id, sku)
)
SELECT * FROM adjusted
"""


class PostgresCatalogue:
    """The catalogue on a connection, in a step or by itself."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, products: Collection[ProductKey]) -> dict[ProductKey, Product]:
        """Return those products that exist."""
        cursor = await self._connection.execute(_GET, _columns(products))
        return _by_key(await cursor.fetchall())

    async def page(self, merchant_id: str, *, after_sku: str, limit: int) -> list[Product]:
        """Return the merchant's next products by sku."""
        cursor = await self._connection.execute(_PAGE, (merchant_id, after_sku, limit))
        return [_product(row) for row in await cursor.fetchall()]

    async def prices(self, products: Collection[ProductKey]) -> list[Price]:
        """Return the prices of those products that exist."""
        cursor = await self._connection.execute(_PRICES, _columns(products))
        return [Price(ProductKey(row[0], row[1]), *row[2:]) for row in await cursor.fetchall()]

    async def put(self, commands: Sequence[PutProduct]) -> dict[ProductKey, Product]:
        """Create products or replace their names and prices."""
        ordered = sorted(commands, key=lambda command: command.key)
        cursor = await self._connection.execute(
            _PUT,
            (
                *_columns([command.key for command in ordered]),
                [command.name for command in ordered],
                [command.unit_amount for command in ordered],
                [command.currency for command in ordered],
            ),
        )
        return _by_key(await cursor.fetchall())

    async def adjust(self, commands: Mapping[str, AdjustStock]) -> dict[ProductKey, Product]:
        """Change stock where enough of it is free, log it under the command's id; return what changed."""
        ordered = sorted(commands.items(), key=lambda item: item[1].key)
        cursor = await self._connection.execute(
            _ADJUST,
            (
                [id_ for id_, _ in ordered],
                *_columns([command.key for _, command in ordered]),
                [command.delta for _, command in ordered],
                [command.reason for _, command in ordered],
            ),
        )
        return _by_key(await cursor.fetchall())


def _columns(keys: Collection[ProductKey]) -> tuple[list[str], list[str]]:
    return [key.merchant_id for key in keys], [key.sku for key in keys]


def _product(row: tuple[Any, ...]) -> Product:
    return Product(ProductKey(row[0], row[1]), *row[2:])


def _by_key(rows: Iterable[tuple[Any, ...]]) -> dict[ProductKey, Product]:
    return {product.key: product for product in map(_product, rows)}
