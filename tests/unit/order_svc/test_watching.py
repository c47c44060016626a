"""Who watches an order hears of each change, and the watch ends with the order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from kit.values.errors import Exhausted
from order_svc.application.progress.watching import Watchers
from order_svc.domain.order import Order, Status
from tests.support.waiting import eventually
from tests.unit.order_svc.orders import LATER, order


class Shelf:
    """Where orders are read from.

    Attributes:
        looks: which orders each look asked for.
    """

    def __init__(self) -> None:
        self.order = order()
        self.looks: list[dict[str, int]] = []

    async def changed(self, versions: Mapping[str, int]) -> list[Order]:
        self.looks.append(dict(versions))
        return [self.order] if self.order.version > versions[self.order.id] else []


async def watching(watchers: Watchers, shelf: Shelf, seen: list[Order]) -> None:
    async for change in watchers.watch(shelf.order):
        seen.append(change)


async def test_a_watcher_sees_the_order_now_then_each_change_and_the_end() -> None:
    shelf, seen = Shelf(), list[Order]()
    watchers = Watchers(shelf.changed)
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
    shelf, seen = Shelf(), list[Order]()
    watchers = Watchers(shelf.changed)
    task = asyncio.create_task(watching(watchers, shelf, seen))
    await eventually(lambda: len(seen) == 1, "the order as it is")
    await watchers.look()
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    await watchers.look()
    await asyncio.wait_for(task, timeout=5)
    assert [o.status for o in seen] == [Status.PROCESSING, Status.FAILED]


async def test_all_watchers_share_one_look_and_without_them_there_is_none() -> None:
    shelf = Shelf()
    watchers = Watchers(shelf.changed)
    await watchers.look()
    streams = [watchers.watch(order(id=f"ord_{number % 50}")) for number in range(200)]
    for stream in streams:
        await anext(stream)
    shelf.order = order(id="ord_7")
    await watchers.look()
    assert shelf.looks == [{f"ord_{number}": 1 for number in range(50)}]


async def test_an_older_version_is_no_news() -> None:
    shelf = Shelf()
    watchers = Watchers(shelf.changed)
    stream = watchers.watch(shelf.order)
    await anext(stream)
    acting = shelf.order.require_action("pay_1", "redirect_to_url", "https://bank.example", LATER)
    failed = acting.fail("authentication_failed", LATER)
    watchers.tell([failed])
    watchers.tell([acting])
    assert await anext(stream) is failed


async def test_more_watchers_than_a_process_can_serve_are_refused_until_one_goes() -> None:
    shelf = Shelf()
    watchers = Watchers(shelf.changed, limit=2)
    streams = [watchers.watch(shelf.order) for _ in range(3)]
    await anext(streams[0])
    await anext(streams[1])
    with pytest.raises(Exhausted) as refused:
        await anext(streams[2])
    assert refused.value.reason == "TOO_MANY_WAITING"
    await streams[0].aclose()
    await anext(watchers.watch(shelf.order))


async def test_a_wake_up_without_a_change_is_not_told() -> None:
    shelf, seen = Shelf(), list[Order]()
    watchers = Watchers(shelf.changed)
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
    await asyncio.wait_for(watching(Watchers(shelf.changed), shelf, seen), timeout=5)
    assert seen == [shelf.order]


async def test_many_watchers_of_one_order_and_none_is_remembered_afterwards() -> None:
    shelf = Shelf()
    watchers = Watchers(shelf.changed)
    seen: list[list[Order]] = [[] for _ in range(5)]
    tasks = [asyncio.create_task(watching(watchers, shelf, mine)) for mine in seen]
    await eventually(lambda: all(seen), "everybody has seen the order")
    shelf.order = shelf.order.fail("out_of_stock", LATER)
    watchers.tell([shelf.order])
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=5)
    assert all(len(mine) == 2 for mine in seen)
    assert not watchers._waiting
