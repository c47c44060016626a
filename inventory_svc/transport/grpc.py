"""The gRPC services: proto → command → proto."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from florin.inventory.v1 import inventory_service_pb2 as api
from florin.inventory.v1.inventory_pb2 import Product as ProductMessage

from inventory_svc.application.catalogue.browse_products import get_product, list_products
from inventory_svc.application.ports import Catalogue
from inventory_svc.domain.product import AdjustStock, PutProduct
from inventory_svc.domain.stock import ProductKey
from inventory_svc.transport.messages import price_message, product_message
from kit.rpc import Call, Role, current_call
from kit.rpc.idempotency import Answer, Keyed
from kit.rpc.pages import PageTokens
from kit.rpc.reasons import NOT_YOURS
from kit.store.batch import Gatherer
from kit.values.errors import FieldProblem, InvalidRequest, PermissionDenied
from kit.values.reasons import FIELD_INVALID

Puts = Gatherer[Keyed[PutProduct], Answer[ProductMessage]]
Adjustments = Gatherer[Keyed[AdjustStock], Answer[ProductMessage]]
Reading = Callable[[], AbstractAsyncContextManager[Catalogue]]
"""Lends a catalogue to read from."""


class InventoryServicer:
    """Products, prices and stock for merchants and their customers."""

    def __init__(self, *, reading: Reading, puts: Puts, adjustments: Adjustments, pages: PageTokens) -> None:
        self._reading = reading
        self._puts = puts
        self._adjustments = adjustments
        self._pages = pages

    async def PutProduct(self, request: api.PutProductRequest, _: Any) -> ProductMessage:
        """Create a product or replace its name and price."""
        call = current_call()
        key = ProductKey(call.merchant_id, request.sku)
        command = PutProduct(key, request.name, request.unit_amount, request.currency)
        return _reply(call, await self._puts.submit(Keyed(call.key, command)))

    async def AdjustStock(self, request: api.AdjustStockRequest, _: Any) -> ProductMessage:
        """Add or remove units."""
        call = current_call()
        command = AdjustStock(ProductKey(call.merchant_id, request.sku), request.delta, request.reason)
        return _reply(call, await self._adjustments.submit(Keyed(call.key, command)))

    async def GetProduct(self, request: api.GetProductRequest, _: Any) -> ProductMessage:
        """Get one product with its stock."""
        key = ProductKey(_merchant_of(current_call(), request.merchant_id), request.sku)
        async with self._reading() as catalogue:
            return product_message(await get_product(catalogue, key))

    async def ListProducts(self, request: api.ListProductsRequest, _: Any) -> api.ListProductsResponse:
        """List a merchant's products."""
        call = current_call()
        merchant_id = _merchant_of(call, request.merchant_id)
        filters = f"products of {merchant_id} for {call.principal}"
        after_sku = self._pages.open(request.page_token, filters) if request.page_token else ""
        async with self._reading() as catalogue:
            page = await list_products(
                catalogue, merchant_id, after_sku=after_sku, page_size=request.page_size
            )
        return api.ListProductsResponse(
            products=[product_message(product) for product in page.products],
            next_page_token=self._pages.sign(page.next_after_sku, filters) if page.next_after_sku else "",
        )


class CatalogueServicer:
    """Prices for the order service."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def BatchGetProducts(
        self, request: api.BatchGetProductsRequest, _: Any
    ) -> api.BatchGetProductsResponse:
        """Get name, price and currency of many products."""
        keys = {ProductKey(key.merchant_id, key.sku) for key in request.keys}
        async with self._reading() as catalogue:
            prices = await catalogue.prices(keys)
        return api.BatchGetProductsResponse(products=[price_message(price) for price in prices])


def _reply(call: Call, answer: Answer[ProductMessage]) -> ProductMessage:
    if answer.replayed:
        call.reply_with(idempotent_replayed="true")
    return answer.message


def _merchant_of(call: Call, named: str) -> str:
    """Return whose products are asked for: a merchant's own, or those that another role names."""
    if call.principal.role is Role.MERCHANT:
        if named and named != call.merchant_id:
            raise PermissionDenied(NOT_YOURS, "a merchant sees its own products; leave merchant_id out")
        return call.merchant_id
    if not named:
        problem = FieldProblem("merchant_id", "is required for this role")
        raise InvalidRequest(FIELD_INVALID, f"merchant_id {problem.problem}", fields=(problem,))
    return named
