"""Prices are looked up together, remembered for a moment, and never made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from florin.inventory.v1.inventory_service_pb2 import BatchGetProductsRequest, BatchGetProductsResponse
from florin.inventory.v1.inventory_service_pb2_grpc import (
    CatalogueServiceServicer,
    add_CatalogueServiceServicer_to_server,
)

from kit.values.errors import Unavailable
from order_svc.adapters import catalogue as module
from order_svc.adapters.catalogue import FRESH_S, RemoteCatalogue
from order_svc.domain.pricing import Price
from tests.support.stores import free_port

MAX_AGE_S = 60.0
# Longer than an inventory that has not answered is left alone.
REST_S = 2.0

MUG, TEA, UNICORN = ("mer_1", "mug"), ("mer_1", "tea"), ("mer_1", "unicorn")


class Inventory(CatalogueServiceServicer):
    """An inventory service that counts what it is asked."""

    def __init__(self) -> None:
        self.prices = {MUG: 1_000, TEA: 799}
        self.asked: list[set[tuple[str, str]]] = []
        self.refuses = False
        self.hangs = False
        # How long each caller was going to wait.
        self.patience_s: list[float] = []

    async def BatchGetProducts(
        self, request: BatchGetProductsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> BatchGetProductsResponse:
        keys = [(key.merchant_id, key.sku) for key in request.keys]
        self.asked.append(set(keys))
        assert len(keys) == len(set(keys)) <= 1_000, "the contract's limit"
        self.patience_s.append(context.time_remaining())
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no database")
        answer = BatchGetProductsResponse()
        for merchant_id, sku in keys:
            if (merchant_id, sku) in self.prices:
                answer.products.add(
                    merchant_id=merchant_id,
                    sku=sku,
                    name=sku.title(),
                    unit_amount=self.prices[merchant_id, sku],
                    currency="EUR",
                )
        return answer


class Watch:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(module, "time", watch)
    return watch


@pytest.fixture
def inventory() -> Inventory:
    return Inventory()


@asynccontextmanager
async def serving(inventory: Inventory, port: int = 0) -> AsyncIterator[int]:
    """One replica, at this port or a free one."""
    server = grpc.aio.server()
    add_CatalogueServiceServicer_to_server(inventory, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)


@asynccontextmanager
async def prices_from(*ports: int, max_age_s: float = MAX_AGE_S) -> AsyncIterator[RemoteCatalogue]:
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    catalogue = RemoteCatalogue(target, max_age_s=max_age_s)
    yield catalogue
    await catalogue.close()


@pytest.fixture
async def catalogue(inventory: Inventory) -> AsyncIterator[RemoteCatalogue]:
    async with serving(inventory) as port, prices_from(port) as catalogue:
        yield catalogue


async def test_a_price_is_asked_once_while_it_is_fresh(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    for _ in range(3):
        assert await catalogue([MUG]) == {MUG: Price("Mug", 1_000, "EUR")}
    assert inventory.asked == [{MUG}]


async def test_a_new_price_is_known_as_soon_as_the_old_one_is_not_fresh(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([MUG])
    inventory.prices[MUG] = 1_200
    watch.now += FRESH_S / 2
    assert (await catalogue([MUG]))[MUG].unit_amount == 1_000
    watch.now += FRESH_S
    assert (await catalogue([MUG]))[MUG].unit_amount == 1_200


async def test_what_was_wanted_lately_is_refreshed_together(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([MUG])
    await catalogue([TEA])
    watch.now += 2 * FRESH_S
    await catalogue([MUG])
    await catalogue([TEA])
    assert inventory.asked == [{MUG}, {MUG, TEA}, {MUG, TEA}]


async def test_what_nobody_has_wanted_for_a_while_is_forgotten(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([MUG, TEA])
    watch.now += 11
    await catalogue([MUG])
    assert inventory.asked[-1] == {MUG}


async def test_an_unknown_product_can_be_bought_as_soon_as_it_is_put(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    assert await catalogue([MUG, UNICORN]) == {MUG: Price("Mug", 1_000, "EUR")}
    inventory.prices[UNICORN] = 5
    assert (await catalogue([UNICORN]))[UNICORN] == Price("Unicorn", 5, "EUR")


async def test_unknown_products_do_not_fill_the_common_refresh(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([UNICORN])
    watch.now += 2 * FRESH_S
    await catalogue([MUG])
    assert inventory.asked == [{UNICORN}, {MUG}]


async def test_a_batch_of_more_products_than_one_call_takes_is_asked_in_several(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    keys = [("mer_1", f"sku_{number}") for number in range(1_500)]
    inventory.prices = dict.fromkeys(keys, 1)
    assert len(await catalogue(keys)) == 1_500
    assert [len(asked) for asked in inventory.asked] == [1_000, 500]


async def test_the_last_known_prices_serve_for_a_while_when_nobody_answers(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([MUG])
    inventory.refuses = True
    watch.now += MAX_AGE_S
    assert await catalogue([MUG]) == {MUG: Price("Mug", 1_000, "EUR")}
    watch.now += 1
    with pytest.raises(Unavailable) as refused:
        await catalogue([MUG])
    assert refused.value.reason == "SERVICE_UNAVAILABLE"
    inventory.refuses = False
    watch.now += REST_S
    assert MUG in await catalogue([MUG])


async def test_known_prices_are_the_inventorys_again_soon_after_it_is_back(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    await catalogue([MUG])
    inventory.refuses = True
    watch.now += 2 * FRESH_S
    await catalogue([MUG])
    inventory.refuses, inventory.prices[MUG] = False, 1_200
    asked = len(inventory.asked)
    assert (await catalogue([MUG]))[MUG].unit_amount == 1_000
    assert len(inventory.asked) == asked, "nobody is kept waiting by another try at once"
    watch.now += REST_S
    assert (await catalogue([MUG]))[MUG].unit_amount == 1_200


async def test_nobody_with_a_known_price_waits_long_for_an_inventory_that_hangs(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    """It would take the deadline, again and again, for everyone."""
    await catalogue([MUG])
    watch.now += 2 * FRESH_S
    inventory.hangs = True
    assert MUG in await catalogue([MUG])
    assert inventory.patience_s[-1] < inventory.patience_s[0] / 4
    with pytest.raises(Unavailable):
        await catalogue([TEA])


async def test_a_price_that_is_not_known_is_never_made_up(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    inventory.refuses = True
    with pytest.raises(Unavailable):
        await catalogue([MUG])
    inventory.refuses = False
    watch.now += REST_S
    await catalogue([MUG])
    inventory.refuses = True
    watch.now += 2 * FRESH_S
    for _ in range(2):
        with pytest.raises(Unavailable):
            await catalogue([MUG, TEA])
        assert MUG in await catalogue([MUG])


async def test_a_price_that_serves_no_longer_than_it_is_fresh_is_refused_at_once(
    inventory: Inventory, watch: Watch
) -> None:
    async with serving(inventory) as port, prices_from(port, max_age_s=0) as catalogue:
        await catalogue([MUG])
        inventory.refuses = True
        watch.now += 2 * FRESH_S
        with pytest.raises(Unavailable):
            await catalogue([MUG])


async def test_every_replica_is_a_source_of_prices_one_that_came_later_too(watch: Watch) -> None:
    """Nothing has to be known to find it but the ports at which there may be one."""
    first, second = Inventory(), Inventory()
    second.prices = {MUG: 1_000, TEA: 799, UNICORN: 5}
    later = free_port()
    async with AsyncExitStack() as life:
        port = await life.enter_async_context(serving(first))
        async with prices_from(free_port(), port, later) as catalogue:
            await catalogue([MUG])
            async with serving(second, later):
                await life.aclose()
                watch.now += 2 * FRESH_S
                assert set(await catalogue([MUG, UNICORN])) == {MUG, UNICORN}


async def test_callers_at_the_same_moment_each_get_what_they_asked_for(
    catalogue: RemoteCatalogue, inventory: Inventory, watch: Watch
) -> None:
    answers = await asyncio.gather(catalogue([MUG]), catalogue([TEA]), catalogue([MUG, TEA]))
    assert [set(answer) for answer in answers] == [{MUG}, {TEA}, {MUG, TEA}]
