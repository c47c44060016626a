"""Tells watchers of an order as soon as a step has changed it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted
from order_svc.domain.order import Order

# One open stream is a few kilobytes, and its order one line of the look-up that all of them share.
MAX_WATCHERS: Final = 2_000

ReadChanged = Callable[[Mapping[str, int]], Awaitable[Sequence[Order]]]
"""Returns those of the orders (id → version) that have a higher version by now."""


class _Watcher:
    """One open stream: the last order it was told, and the newest there is."""

    def __init__(self, order: Order) -> None:
        self.told = self.newest = order
        self.changed = asyncio.Event()

    def tell(self, order: Order) -> None:
        if order.version > self.newest.version:
            self.newest = order
            self.changed.set()


class Watchers:
    """Who waits for which order in this process.

    What this process changes is told at once, from memory; what another replica changes is found by
    `look`, with one statement for all watchers.

    Args:
        read_changed: reads the orders that have changed.
        limit: of watchers at a time.
    """

    def __init__(self, read_changed: ReadChanged, *, limit: int = MAX_WATCHERS) -> None:
        self._read_changed = read_changed
        self._limit = limit
        self._waiting: dict[str, set[_Watcher]] = defaultdict(set)
        self._count = 0

    def tell(self, orders: Sequence[Order]) -> None:
        """Tell those who watch one of these orders."""
        for order in orders:
            for watcher in self._waiting.get(order.id, ()):
                watcher.tell(order)

    async def look(self) -> None:
        """Tell what has changed without this process."""
        versions = {
            order_id: min(watcher.newest.version for watcher in watchers)
            for order_id, watchers in self._waiting.items()
        }
        if versions:
            self.tell(await self._read_changed(versions))

    async def watch(self, order: Order) -> AsyncGenerator[Order, None]:
        """Yield the order now and after each change of its version, until it has ended.

        Raises:
            Exhausted: too many watch already.
        """
        if self._count >= self._limit:
            raise Exhausted(
                TOO_MANY_WAITING,
                f"{self._limit} orders are being watched here already; read this one now and then instead",
                retry_after_s=1.0,
            )
        watcher = _Watcher(order)
        self._count += 1
        self._waiting[order.id].add(watcher)
        try:
            yield order
            while not watcher.told.ended:
                await watcher.changed.wait()
                watcher.changed.clear()
                watcher.told = watcher.newest
                yield watcher.told
        finally:
            self._count -= 1
            self._waiting[order.id].discard(watcher)
            if not self._waiting[order.id]:
                del self._waiting[order.id]
