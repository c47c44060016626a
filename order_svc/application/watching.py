"""Tells watchers of an order as soon as a step has changed it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from order_svc.domain.order import Order

# Changes that another replica made are seen at this interval.
_POLL_S: Final = 1.0


class Watchers:
    """Who waits for which order in this process."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def tell(self, orders: Sequence[Order]) -> None:
        """Wake those who watch one of these orders."""
        for order in orders:
            for event in self._waiting.get(order.id, ()):
                event.set()

    async def watch(self, order: Order, read: Callable[[], Awaitable[Order]]) -> AsyncIterator[Order]:
        """Yield the order now and after each change of its version, until it has ended."""
        changed = asyncio.Event()
        self._waiting[order.id].add(changed)
        try:
            yield order
            while not order.ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), timeout=_POLL_S)
                changed.clear()
                latest = await read()
                if latest.version != order.version:
                    yield latest
                order = latest
        finally:
            self._waiting[order.id].discard(changed)
            if not self._waiting[order.id]:
                del self._waiting[order.id]
