"""Accepts no more than can be finished: a promise of 202 is kept, or not given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kit.errors import Unavailable


class Admission:
    """Bounds the orders that are under way.

    The number is read from the database now and then, and counted up in between, so it is never too low
    for longer than that and needs nothing per order.

    Args:
        count_open: reads the number of open orders.
        limit: of open orders.
    """

    def __init__(self, count_open: Callable[[], Awaitable[int]], *, limit: int) -> None:
        self._count_open = count_open
        self._limit = limit
        self._open = 0

    async def refresh(self) -> None:
        """Read how many orders are open."""
        self._open = await self._count_open()

    def admit(self) -> Unavailable | None:
        """Count one more order, or return the refusal."""
        if self._open >= self._limit:
            return Unavailable(
                "TOO_MANY_OPEN_ORDERS",
                f"{self._open} orders are under way, more than can be finished soon;"
                " send the request again with the same key",
                metadata={"open_orders": str(self._open), "limit": str(self._limit)},
                retry_after_s=1.0,
            )
        self._open += 1
        return None
