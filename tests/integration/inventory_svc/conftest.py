"""A shop whose stock is kept by the inventory service."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from florin.common.v1.charge_pb2 import ChargeInstruction, StockLine
from florin.order.v1.order_events_pb2 import OrderPlaced

from inventory_svc import proof
from inventory_svc.adapters.postgres.catalogue import PostgresCatalogue
from inventory_svc.application.catalogue.put_products import put_products
from inventory_svc.application.ports import Scope
from inventory_svc.application.stock.adjust_stock import adjust_stock
from inventory_svc.domain.product import AdjustStock, Product, PutProduct
from inventory_svc.domain.stock import ProductKey
from kit.values.errors import FlorinError
from tests.conftest import RecordingRuntimeFactory
from tests.support.service import Scenario

MERCHANT = "mer_1"


class Shop(Scenario[Scope]):
    """One merchant's shop."""

    async def sells(self, **units: int) -> None:
        """Put products and deliver that many units of each."""
        puts = [PutProduct(key_of(sku), sku.title(), 1_000, "EUR") for sku in units]
        await self.runtime.steps.take(lambda step: put_products(self.runtime.scope(step), puts))
        await self.adjust(*(AdjustStock(key_of(sku), n, "delivery") for sku, n in units.items() if n))

    async def adjust(self, *commands: AdjustStock) -> Sequence[Product | FlorinError]:
        """Adjust stock as one batch."""
        return await self.runtime.steps.take(lambda step: adjust_stock(self.runtime.scope(step), commands))

    async def product(self, sku: str) -> Product:
        """Return a product as it is now."""
        async with self.runtime.database.connection() as connection:
            return (await PostgresCatalogue(connection).get([key_of(sku)]))[key_of(sku)]

    async def stock(self, sku: str) -> tuple[int, int, int]:
        """Return how much of a product is on hand, reserved and sold."""
        product = await self.product(sku)
        return product.on_hand, product.reserved, product.sold

    async def reservation_id(self, order_id: str) -> str:
        """Return the id of an order's reservation."""
        rows = await self.rows("SELECT id FROM reservations WHERE order_id = %s", order_id)
        return str(rows[0][0])

    async def every_unit_is_accounted_for(self) -> None:
        """Expect the proof to find nothing wrong."""
        assert await self.rows(proof.WRONG_STOCK) == []


def charge_of(order_id: str) -> ChargeInstruction:
    """Return what is charged for an order."""
    return ChargeInstruction(
        merchant_id=MERCHANT, customer_id=f"buyer of {order_id}", amount=1_000, currency="EUR"
    )


def placed(order_id: str, **units: int) -> OrderPlaced:
    """Return the event of an order that wants these units."""
    lines = [StockLine(sku=sku, quantity=quantity) for sku, quantity in units.items()]
    return OrderPlaced(order_id=order_id, version=1, lines=lines, charge=charge_of(order_id))


def key_of(sku: str) -> ProductKey:
    """Return the key of a product of the shop."""
    return ProductKey(MERCHANT, sku)


@pytest.fixture
async def shop(service_runtime: RecordingRuntimeFactory) -> Shop:
    """A shop without products."""
    return Shop(await service_runtime("inventory_svc"))
