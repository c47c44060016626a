"""Neighbours share a batch, and each gets its own answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import psycopg
import pytest

from kit.store.batch import BURST_S, CALM_S, SHORT_BURST_S, Gatherer, one_bad_item_fails_alone
from kit.values.errors import Exhausted
from tests.support.virtual_time import VirtualLoop, run

Handle = Callable[[list[int]], Awaitable[Sequence[int | Exception]]]


@asynccontextmanager
async def gathering(
    handle: Handle, *, max_items: int = 200, patience_s: float | None = None
) -> AsyncIterator[Gatherer[int, int]]:
    gatherer: Gatherer[int, int] = Gatherer(handle, name="test", max_items=max_items, patience_s=patience_s)
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


def test_who_waits_too_long_is_refused_at_that_moment_whatever_the_batch_in_front_does() -> None:
    async def waiting() -> None:
        loop = asyncio.get_running_loop()
        finish = asyncio.Event()

        async def stuck(items: list[int]) -> list[int]:
            await finish.wait()
            return items

        async with gathering(stuck, max_items=1, patience_s=0.15) as gatherer:
            first = asyncio.create_task(gatherer.submit(1))
            await asyncio.sleep(0.1)
            # The queue has stood for long: somebody always waits.
            crowd = [asyncio.create_task(gatherer.submit(3))]
            await asyncio.sleep(BURST_S - 0.05)
            for _ in range(2):
                crowd.append(asyncio.create_task(gatherer.submit(3)))
                await asyncio.sleep(0.1)
                came_at = loop.time()
                with pytest.raises(Exhausted) as refused:
                    await gatherer.submit(2)
                assert loop.time() - came_at == pytest.approx(0.15)
                assert refused.value.reason == "TOO_MANY_WAITING"
                assert refused.value.retry_after_s
            finish.set()
            assert await first == 1, "what has begun is finished"

    run(waiting())


def test_a_queue_before_the_event_loop_counts_like_one_here() -> None:
    """Nobody waits in the gatherer, and everybody has waited before: the door is where too many stand."""

    async def is_served(gatherer: Gatherer[int, int], *, waited_s: float) -> bool:
        try:
            return await gatherer.submit(1, waited_s=waited_s) == 2
        except Exhausted:
            return False

    async def overload() -> None:
        async with gathering(doubled, patience_s=PATIENCE_S) as gatherer:
            for _ in range(10):
                assert await is_served(gatherer, waited_s=0.2), "a burst is no overload"
                await asyncio.sleep(BURST_S / 11)
            await asyncio.sleep(BURST_S / 11)
            assert not await is_served(gatherer, waited_s=0.2)
            assert await is_served(gatherer, waited_s=0.1), (
                "who has not waited for long is served all the same"
            )
            await asyncio.sleep(CALM_S / 3)
            assert await is_served(gatherer, waited_s=0.2), "to stumble is no overload"
            await asyncio.sleep(SHORT_BURST_S)
            assert not await is_served(gatherer, waited_s=0.2), "two seconds are not granted again"
            await asyncio.sleep(CALM_S)
            assert await is_served(gatherer, waited_s=1.5), "one late caller is no overload"

    run(overload())


def test_when_the_event_loop_comes_late_those_who_wait_are_served_and_not_refused() -> None:
    async def stalled() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        async with gathering(doubled, patience_s=0.15) as gatherer:
            # So many at once that the next one lingers for neighbours, which is when the loop is late.
            await asyncio.gather(*map(gatherer.submit, range(1_000)))
            caller = asyncio.create_task(gatherer.submit(7))
            for _ in range(5):
                await asyncio.sleep(0)
            loop.jump(1.0)
            assert await caller == 14

    run(stalled())


def test_who_is_patient_is_never_refused_and_comes_in_order() -> None:
    handled: list[int] = []

    async def slow(items: list[int]) -> list[int]:
        await asyncio.sleep(60)
        handled.extend(items)
        return items

    async def waiting() -> None:
        async with gathering(slow, max_items=1) as gatherer:
            assert await asyncio.gather(*map(gatherer.submit, range(5))) == list(range(5))

    run(waiting())
    assert handled == list(range(5))


# A batch costs 8 ms, and 1.8 ms for each item: some 520 a second in batches of 64.
BATCH_S, ITEM_S, MOST = 0.008, 0.0018, 64
BEST_PER_S = MOST / (BATCH_S + MOST * ITEM_S)
PATIENCE_S = 0.15


@dataclass(slots=True)
class Told:
    """What became of those who came when the queue had stood for long enough, and after how long."""

    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)


async def crowd(load: float, *, seconds: float) -> Told:
    """Let callers come at this multiple of the best rate, at random."""
    loop, told, early, dice = asyncio.get_running_loop(), Told(), Told(), random.Random(7)  # no secret
    settled_at = loop.time() + BURST_S + PATIENCE_S

    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(BATCH_S + len(items) * ITEM_S)
        return items

    async def come(gatherer: Gatherer[int, int]) -> None:
        came_at = loop.time()
        into = told if came_at > settled_at else early
        try:
            await gatherer.submit(1)
            into.accepted_s.append(loop.time() - came_at)
        except Exhausted:
            into.refused_s.append(loop.time() - came_at)

    async with gathering(handle, max_items=MOST, patience_s=PATIENCE_S) as gatherer:
        callers = set()
        while loop.time() < settled_at + seconds:
            callers.add(asyncio.create_task(come(gatherer)))
            await asyncio.sleep(dice.expovariate(load * BEST_PER_S))
        await asyncio.gather(*callers)
    return told


@pytest.mark.parametrize("load", [1.0, 1.5, 3.0])
def test_too_much_load_costs_neither_throughput_nor_the_time_of_those_who_are_taken(load: float) -> None:
    told = run(crowd(load, seconds=5))
    assert len(told.accepted_s) / 5 > 0.9 * BEST_PER_S
    assert quantiles(told.accepted_s, n=100)[98] < 0.5
    assert max([*told.refused_s, 0.0]) < 2 * PATIENCE_S


def test_refusing_costs_the_same_after_a_minute_of_too_much_as_after_a_second() -> None:
    """One timer tells when the next one is refused, whatever number of batches there has been."""
    set_for: list[int] = []

    async def overload() -> None:
        loop = asyncio.get_running_loop()
        at, call_at = 0, loop.call_at

        def counted(when: float, callback: Callable[..., object], *args: object, **more: Any) -> Any:
            nonlocal at
            at += callback.__name__ == "_refuse_late"
            return call_at(when, callback, *args, **more)

        loop.call_at = counted  # type: ignore[method-assign]
        working = asyncio.create_task(crowd(3.0, seconds=10))
        while not working.done():
            before = at
            await asyncio.sleep(2.0)
            set_for.append(at - before)

    run(overload())
    # The first two seconds are a burst, the last are what is left.
    assert max(set_for[2:]) < 1.5 * set_for[1]


def test_a_burst_is_served_in_its_order_and_nobody_is_refused() -> None:
    """As many as can be served while it may last, all at the same moment."""
    handled: list[int] = []

    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(BATCH_S + len(items) * ITEM_S)
        handled.extend(items)
        return items

    async def burst(size: int) -> None:
        async with gathering(handle, max_items=MOST, patience_s=PATIENCE_S) as gatherer:
            await asyncio.gather(*map(gatherer.submit, range(size)))

    size = int(0.9 * BURST_S * BEST_PER_S)
    run(burst(size))
    assert handled == list(range(size))


def test_little_load_is_never_refused() -> None:
    told = run(crowd(0.5, seconds=5))
    assert told.refused_s == []


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
