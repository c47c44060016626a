"""Who watches an order hears of each change, and the watch ends with the order."""

from __future__ import annotations

import asyncio

from order_svc.application.watching import Watchers
from order_svc.domain.order import Order, Status
from tests.support.waiting import eventually
from tests.unit.order_svc.orders import LATER, order


class Shelf:
    """Where the order is read from."""

    def __init__(self) -> None:
        self.order = order()

    async def read(self) -> Order:
        return self.order


async def watching(watchers: Watchers, shelf: Shelf, seen: list[Order]) -> None:
    async for change in watchers.watch(shelf.order, shelf.read):
        seen.append(change)


async def test_a_watcher_sees_the_order_now_then_each_change_and_the_end() -> None:
    watchers, shelf, seen = Watchers(), Shelf(), list[Order]()
    task = asyncio.create_task(watching(watchers, shelf, seen))
    await eventually(lambda: len(seen) == 1, "the order as it is")
    shelf.order = shelf.order.require_action("pay_1", "redirect_to_url", "https://bank.example", LATER)
    watchers.tell([shelf.order])
    await eventually(lambda: len(seen) == 2, "the challenge")
    shelf.order = shelf.order.fail("authentication_failed", LATER)
    watchers.tell([shelf.order])
    await asyncio.wait_for(task, timeout=5)
    assert [o.status for o in seen] == [Status.PROCESSING, Status.REQUIRES_ACTION, Status.FAILED]


async def test_a_change_made_by_another_replica_is_seen_a_little_later() -> None:
    watchers, shelf, seen = Watchers(), Shelf(), list[Order]()
    task = asyncio.create_task(watching(watchers, shelf, seen))
    await eventually(lambda: len(seen) == 1, "the order as it is")
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    await asyncio.wait_for(task, timeout=5)
    assert seen[-1].status is Status.FAILED


async def test_a_wake_up_without_a_change_is_not_told() -> None:
    watchers, shelf, seen = Watchers(), Shelf(), list[Order]()
    task = asyncio.create_task(watching(watchers, shelf, seen))
    await eventually(lambda: len(seen) == 1, "the order as it is")
    watchers.tell([shelf.order])
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    watchers.tell([shelf.order])
    await asyncio.wait_for(task, timeout=5)
    assert [o.version for o in seen] == [1, 2]


async def test_an_order_that_has_ended_is_told_once() -> None:
    shelf, seen = Shelf(), list[Order]()
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    await asyncio.wait_for(watching(Watchers(), shelf, seen), timeout=5)
    assert seen == [shelf.order]


async def test_many_watchers_of_one_order_and_none_is_remembered_afterwards() -> None:
    watchers, shelf = Watchers(), Shelf()
    seen: list[list[Order]] = [[] for _ in range(5)]
    tasks = [asyncio.create_task(watching(watchers, shelf, mine)) for mine in seen]
    await eventually(lambda: all(seen), "everybody has seen the order")
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    watchers.tell([shelf.order])
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=5)
    assert all(len(mine) == 2 for mine in seen)
    assert not watchers._waiting
