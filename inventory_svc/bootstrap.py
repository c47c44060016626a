"""Puts the inventory service together: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from florin.inventory.v1 import inventory_service_pb2_grpc as api
from florin.inventory.v1.inventory_pb2 import Product as ProductMessage

from inventory_svc.adapters.postgres.catalogue import PostgresCatalogue
from inventory_svc.adapters.postgres.stockroom import PostgresStockroom
from inventory_svc.application.catalogue.put_products import put_products
from inventory_svc.application.ports import Catalogue, Scope, Stockroom
from inventory_svc.application.stock.adjust_stock import adjust_stock
from inventory_svc.domain.product import Product
from inventory_svc.settings import Settings
from inventory_svc.transport.events import SUBSCRIPTIONS
from inventory_svc.transport.grpc import CatalogueServicer, InventoryServicer
from inventory_svc.transport.messages import product_message
from kit.messaging.step import Step
from kit.rpc.idempotency import Answer, Keyed
from kit.rpc.pages import PageTokens
from kit.runtime.context import Runtime
from kit.store.batch import Gatherer
from kit.store.database import Connection
from kit.values.errors import FlorinError

C = TypeVar("C")


def stockroom_of(step: Step) -> Stockroom:
    """Return the stockroom of a step; one that has lost a race before takes its rows at once."""
    return PostgresStockroom(step.connection, lock=step.attempt > 1)


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    stockroom: Callable[[Step], Stockroom] = stockroom_of,
    catalogue: Callable[[Connection], Catalogue] = PostgresCatalogue,
) -> None:
    """Put the inventory service onto its runtime; what a test gives takes the place of the real thing."""

    def scope(step: Step) -> Scope:
        return Scope(stockroom(step), catalogue(step.connection), runtime.new_id)

    def keyed(
        name: str, use_case: Callable[[Scope, Sequence[C]], Awaitable[Sequence[Product | FlorinError]]]
    ) -> Gatherer[Keyed[C], Answer[ProductMessage]]:
        """Return a gatherer of keyed commands for a use case."""

        async def apply(step: Step, commands: Sequence[C]) -> list[ProductMessage | FlorinError]:
            results = await use_case(scope(step), commands)
            return [product_message(result) if isinstance(result, Product) else result for result in results]

        return runtime.gather(name, runtime.once(apply, ProductMessage))

    @asynccontextmanager
    async def reading() -> AsyncIterator[Catalogue]:
        async with runtime.database.connection() as connection:
            yield catalogue(connection)

    inventory = InventoryServicer(
        reading=reading,
        puts=keyed("put_products", put_products),
        adjustments=keyed("adjust_stock", adjust_stock),
        pages=PageTokens(settings.page_token_key),
    )
    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.serve(
        "florin.inventory.v1.InventoryService", api.add_InventoryServiceServicer_to_server, inventory
    )
    runtime.serve(
        "florin.inventory.v1.CatalogueService",
        api.add_CatalogueServiceServicer_to_server,
        CatalogueServicer(reading),
    )
