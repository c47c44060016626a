"""Neighbours share a batch, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest

from kit.store.batch import Gatherer, one_bad_item_fails_alone
from kit.values.errors import Exhausted

Handle = Callable[[list[int]], Awaitable[Sequence[int | Exception]]]


@asynccontextmanager
async def gathering(
    handle: Handle, *, max_items: int = 200, max_waiting: int = 5_000
) -> AsyncIterator[Gatherer[int, int]]:
    gatherer: Gatherer[int, int] = Gatherer(handle, name="test", max_items=max_items, max_waiting=max_waiting)
    gatherer.start()
    yield gatherer
    await gatherer.stop()


async def doubled(items: list[int]) -> list[int]:
    return [item * 2 for item in items]


async def test_each_caller_gets_the_answer_to_its_own_item() -> None:
    async with gathering(doubled, max_items=7) as gatherer:
        assert await asyncio.gather(*map(gatherer.submit, range(100))) == [n * 2 for n in range(100)]


async def test_neighbours_share_batches_and_no_batch_is_too_large() -> None:
    sizes: list[int] = []

    async def sized(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return items

    async with gathering(sized, max_items=30) as gatherer:
        await asyncio.gather(*map(gatherer.submit, range(100)))
    assert sizes == [30, 30, 30, 10]


async def test_an_exception_in_the_place_of_a_result_is_raised_for_that_item_alone() -> None:
    async def picky(items: list[int]) -> list[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    async with gathering(picky) as gatherer:
        results = await asyncio.gather(*map(gatherer.submit, range(4)), return_exceptions=True)
    assert [result if isinstance(result, int) else "refused" for result in results] == [
        0,
        "refused",
        2,
        "refused",
    ]


async def test_a_batch_that_fails_fails_for_everyone_in_it_and_the_next_one_works() -> None:
    async def once(items: list[int]) -> list[int]:
        if 0 in items:
            raise ConnectionError("gone")
        return items

    async with gathering(once) as gatherer:
        results = await asyncio.gather(*map(gatherer.submit, range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionError] * 3
        assert await gatherer.submit(5) == 5


async def test_a_handler_that_loses_an_item_is_a_defect_that_every_caller_hears_of() -> None:
    async def lossy(items: list[int]) -> list[int]:
        return items[1:]

    async with gathering(lossy) as gatherer:
        with pytest.raises(AssertionError, match="one result per item"):
            await gatherer.submit(1)


async def test_a_caller_that_leaves_before_its_batch_begins_takes_its_item_with_it() -> None:
    handled: list[int] = []

    async def remember(items: list[int]) -> list[int]:
        handled.extend(items)
        return items

    async with gathering(remember) as gatherer:
        impatient = asyncio.create_task(gatherer.submit(1))
        patient = asyncio.create_task(gatherer.submit(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == 2
    assert handled == [2]


async def test_a_caller_that_leaves_later_harms_nobody() -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(items: list[int]) -> list[int]:
        began.set()
        await finish.wait()
        return items

    async with gathering(slow) as gatherer:
        impatient, patient = (asyncio.create_task(gatherer.submit(n)) for n in (1, 2))
        await began.wait()
        impatient.cancel()
        finish.set()
        assert await patient == 2


async def test_a_full_queue_refuses_with_advice() -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(items: list[int]) -> list[int]:
        began.set()
        await finish.wait()
        return items

    async with gathering(slow, max_items=1, max_waiting=2) as gatherer:
        first = asyncio.create_task(gatherer.submit(1))
        await began.wait()
        others = [asyncio.create_task(gatherer.submit(n)) for n in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(Exhausted) as refused:
            await gatherer.submit(4)
        assert refused.value.reason == "TOO_MANY_WAITING"
        assert refused.value.retry_after_s
        finish.set()
        assert await asyncio.gather(first, *others) == [1, 2, 3]


async def test_what_was_submitted_is_finished_before_the_gatherer_stops() -> None:
    gatherer: Gatherer[int, int] = Gatherer(doubled, name="test", max_items=2)
    gatherer.start()
    callers = [asyncio.create_task(gatherer.submit(n)) for n in range(9)]
    await asyncio.sleep(0)
    await gatherer.stop()
    assert await asyncio.gather(*callers) == [n * 2 for n in range(9)]


async def test_a_batch_run_one_by_one_loses_only_what_is_bad() -> None:
    async def strict(items: list[int]) -> list[int]:
        if 3 in items:
            raise ValueError("three")
        return items

    results = await one_bad_item_fails_alone(strict)([1, 2, 3, 4])
    assert [result if isinstance(result, int) else "failed" for result in results] == [1, 2, "failed", 4]


async def test_a_store_that_is_away_is_nobodys_item() -> None:
    async def away(items: list[int]) -> list[int]:
        raise psycopg.OperationalError("gone")

    with pytest.raises(psycopg.OperationalError):
        await one_bad_item_fails_alone(away)([1, 2])
