"""Gathers neighbours into one batch, so that many callers share one commit."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from kit.store.database import STORE_UNAVAILABLE
from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted

C = TypeVar("C")
R = TypeVar("R")

log = structlog.get_logger(__name__)


# The rate is averaged over about this time: a burst counts soon, and is soon forgotten.
_RATE_WINDOW_S = 1.0

# With fewer neighbours than this to come, waiting for them costs more time than a commit.
_WORTH_WAITING_FOR = 1.5

# With as many to come within the bound, all of it is waited for. A batch by itself costs what about two items
# do, as measured: among eight that is a fifth of the whole, and the bound goes on from there.
_FULL_NEIGHBOURS = 8.0


def wait_s(items_per_s: float, longest_s: float) -> float:
    """Return how long a batch should wait for neighbours after its first item.

    Nothing while fewer than one or two would come; then a part of the bound that grows with the load, up to
    all of it. So a service that has time answers soon, and one that has none makes fewer commits: processors
    are worth more the busier they are.
    """
    wanted_s = longest_s * min(1.0, items_per_s * longest_s / _FULL_NEIGHBOURS)
    return wanted_s if items_per_s * wanted_s >= _WORTH_WAITING_FOR else 0.0


class Linger:
    """How long a batch waits for neighbours, by what has come of late: `wait_s`.

    Args:
        longest_s: the bound.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._items_per_s = 0.0
        self._since = time.monotonic()

    def seconds(self) -> float:
        """Return how long the next batch should wait after its first item."""
        return wait_s(self._items_per_s, self._longest_s)

    def took(self, items: int) -> None:
        """Note the size of a batch."""
        now = time.monotonic()
        elapsed = max(now - self._since, 1e-6)
        self._since = now
        weight = 1.0 - math.exp(-elapsed / _RATE_WINDOW_S)
        self._items_per_s += weight * (items / elapsed - self._items_per_s)


def one_bad_item_fails_alone(
    handle: Callable[[list[C]], Awaitable[Sequence[R]]],
) -> Callable[[list[C]], Awaitable[Sequence[R | Exception]]]:
    """Return a handler that runs a failed batch in halves, unless it was the store that failed.

    Down to single items: the bad ones are told their own exception, and a batch of 256 with one bad item
    costs eight steps more, not 256.
    """

    async def run(items: list[C]) -> Sequence[R | Exception]:
        try:
            return await handle(items)
        except STORE_UNAVAILABLE:
            raise
        except Exception as error:  # the boundary of a batch
            if len(items) == 1:
                return [error]
            log.warning("batch.split", items=len(items), error=repr(error))
            middle = len(items) // 2
            return [*await run(items[:middle]), *await run(items[middle:])]

    return run


class Gatherer(Generic[C, R]):
    """Turns single calls into batches, each answered on its own.

    One batch runs at a time; what arrives meanwhile is the next one. So batches grow by themselves when
    the store is slow, and an idle system adds at most `linger_s` to a call.

    Args:
        handle: takes a list and returns one result or exception per item, in order. If it raises, every
            item of the batch fails with that exception.
        max_items: bound of a batch.
        linger_s: how long a batch of a busy service waits for neighbours after its first item.
        max_waiting: bound of the queue; above it `submit` raises `Exhausted`.
    """

    def __init__(
        self,
        handle: Callable[[list[C]], Awaitable[Sequence[R | Exception]]],
        *,
        name: str,
        max_items: int = 200,
        linger_s: float = 0.003,
        max_waiting: int = 5_000,
    ) -> None:
        self._handle = handle
        self._name = name
        self._max_items = max_items
        self._linger = Linger(linger_s)
        self._max_waiting = max_waiting
        self._queue: deque[tuple[C, asyncio.Future[R]]] = deque()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start working; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"gather {self._name}")

    async def stop(self) -> None:
        """Finish what was submitted, then stop."""
        if self._task is None:
            return
        await self._drained.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def submit(self, item: C) -> R:
        """Return the result of one item, once its batch is done.

        A caller that goes away before the batch begins takes its item with it; afterwards the item has its
        effect all the same.
        """
        if len(self._queue) >= self._max_waiting:
            raise Exhausted(
                TOO_MANY_WAITING,
                f"{self._max_waiting} requests are already waiting; try again in a second",
                retry_after_s=1.0,
            )
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        self._drained.clear()
        self._arrived.set()
        return await future

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            pause_s = self._linger.seconds()
            if pause_s > 0 and len(self._queue) < self._max_items:
                await asyncio.sleep(pause_s)
            batch: list[tuple[C, asyncio.Future[R]]] = []
            while self._queue and len(batch) < self._max_items:
                item, future = self._queue.popleft()
                if not future.done():
                    batch.append((item, future))
            if not self._queue:
                self._arrived.clear()
            self._linger.took(len(batch))
            if batch:
                await self._answer(batch)
            if not self._queue:
                self._drained.set()

    async def _answer(self, batch: list[tuple[C, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await self._handle([item for item, _ in batch])
            assert len(results) == len(batch), f"{self._name}: one result per item"
        except Exception as error:  # the boundary of the batch: every caller gets to know
            log.warning("batch.failed", batch=self._name, items=len(batch), error=repr(error))
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
