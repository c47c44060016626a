"""The only place that builds the parts of the inventory service and puts them together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from florin.inventory.v1 import inventory_service_pb2_grpc as api
from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.inventory.v1.inventory_pb2 import Product as ProductMessage

from inventory_svc.adapters.postgres.catalogue import PostgresCatalogue
from inventory_svc.adapters.postgres.stockroom import PostgresStockroom
from inventory_svc.application.catalogue.put_products import put_products
from inventory_svc.application.ports import Catalogue, Scope
from inventory_svc.application.stock.adjust_stock import adjust_stock
from inventory_svc.domain.product import Product
from inventory_svc.settings import Settings
from inventory_svc.transport.events import SUBSCRIPTIONS
from inventory_svc.transport.grpc import CatalogueServicer, InventoryServicer, product_message
from kit.messaging.events import event_type
from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.rpc import Server, Servicer
from kit.rpc.idempotency import Answer, IdempotentBatch, Keyed, ReplayCache
from kit.rpc.pages import PageTokens
from kit.runtime.service import Runtime
from kit.store.batch import Gatherer
from kit.values.errors import FlorinError
from kit.values.ids import new_id

C = TypeVar("C")

NAME: Final = "inventory_svc"

EMITS: Final = (StockReserved, StockRejected, StockSold, StockReleased)


def scope(step: Step) -> Scope:
    """Return what the use cases of one step work with."""
    return Scope(
        PostgresStockroom(step.connection, lock=step.attempt > 1), PostgresCatalogue(step.connection), new_id
    )


async def build(settings: Settings) -> Runtime:
    """Return the service, ready to be served."""
    runtime = Runtime.build(NAME, settings, emits=[event_type(message) for message in EMITS])
    assemble(runtime, settings)
    return runtime


def assemble(runtime: Runtime, settings: Settings) -> Server:
    """Put the service onto a runtime and return its gRPC server, which the runtime starts and stops."""
    cache = ReplayCache(settings.redis_url)
    runtime.closers.append(cache.close)

    @asynccontextmanager
    async def reading() -> AsyncIterator[Catalogue]:
        async with runtime.database.connection() as connection:
            yield PostgresCatalogue(connection)

    puts = _gatherer("put_products", runtime, cache, put_products)
    adjustments = _gatherer("adjust_stock", runtime, cache, adjust_stock)
    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=NAME,
        subscriptions=SUBSCRIPTIONS,
        scope=scope,
        new_id=new_id,
        linger_s=settings.event_linger_ms / 1000,
        replica=settings.replica,
    )
    inventory = InventoryServicer(
        reading=reading,
        puts=puts,
        adjustments=adjustments,
        pages=PageTokens(settings.page_token_key),
    )
    server = Server(
        host=settings.bind_host,
        port=settings.port,
        servicers=[
            Servicer(
                "florin.inventory.v1.InventoryService", api.add_InventoryServiceServicer_to_server, inventory
            ),
            Servicer(
                "florin.inventory.v1.CatalogueService",
                api.add_CatalogueServiceServicer_to_server,
                CatalogueServicer(reading),
            ),
        ],
    )
    runtime.worker("pump", pump.run)
    runtime.serve_grpc(server)
    return server


def _gatherer(
    name: str,
    runtime: Runtime,
    cache: ReplayCache,
    use_case: Callable[[Scope, Sequence[C]], Awaitable[Sequence[Product | FlorinError]]],
) -> Gatherer[Keyed[C], Answer[ProductMessage]]:
    """Return a gatherer that runs a use case as an idempotent batch, from the service's start to its end."""

    async def apply(step: Step, commands: Sequence[C]) -> list[ProductMessage | FlorinError]:
        results = await use_case(scope(step), commands)
        return [product_message(result) if isinstance(result, Product) else result for result in results]

    batch = IdempotentBatch(steps=runtime.steps, cache=cache, apply=apply, response=ProductMessage)
    gatherer = Gatherer(batch, name=name)
    runtime.gather(gatherer)
    return gatherer
