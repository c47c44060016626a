"""Nobody buys what is not there, and nobody pays for it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.shop import Order, Shop

pytestmark = pytest.mark.xdist_group("system")


async def test_200_buyers_for_50_units_at_once_are_50_purchases(shop: Shop) -> None:
    await shop.put_product("poster", stock=50)
    orders = await asyncio.gather(*(shop.buys("poster", buyer=str(number)) for number in range(200)))
    ended = await shop.waits_until_all_ended(order.id for order in orders)
    outcomes = Counter((order.status, order.reason) for order in ended.values())
    assert outcomes == {("COMPLETED", ""): 50, ("FAILED", "out_of_stock"): 150}
    assert await shop.stock_of("poster") == {"available": 0, "reserved": 0, "sold": 50}

    async def intents(order: Order) -> tuple[str, int]:
        return order.status, len(await shop.psp.intents_of(order.id))

    charged = Counter(await asyncio.gather(*(intents(order) for order in ended.values())))
    assert charged == {("COMPLETED", 1): 50, ("FAILED", 0): 150}


async def test_an_order_gets_all_of_its_lines_or_none(shop: Shop) -> None:
    await shop.put_product("cup", stock=30)
    await shop.put_product("saucer", stock=20)
    # Both ways round, so that orders of one batch take the rows in different orders.
    carts = [("cup", "saucer") if number % 2 else ("saucer", "cup") for number in range(40)]
    orders = await asyncio.gather(*(shop.buys(*skus) for skus in carts))
    ended = await shop.waits_until_all_ended(order.id for order in orders)
    assert Counter(order.status for order in ended.values()) == {"COMPLETED": 20, "FAILED": 20}
    assert await shop.stock_of("cup") == {"available": 10, "reserved": 0, "sold": 20}
    assert await shop.stock_of("saucer") == {"available": 0, "reserved": 0, "sold": 20}


async def test_declined_orders_hold_up_nobody_who_comes_after_them(shop: Shop) -> None:
    await shop.put_product("poster", stock=5)
    declined = [await shop.buys("poster", card="pm_card_chargeDeclined") for _ in range(5)]
    await shop.waits_until_all_ended(order.id for order in declined)

    async def sell(order: Order) -> str:
        return (await shop.waits_until_ended(order)).status

    orders = await asyncio.gather(*(shop.buys("poster") for _ in range(5)))
    statuses = await asyncio.gather(*(sell(order) for order in orders))
    assert set(statuses) <= {"COMPLETED", "FAILED"}
    assert (await shop.stock_of("poster"))["sold"] == statuses.count("COMPLETED")
