"""Accepts no more than can be finished soon: a promise of 202 is kept, or not given.

What is bounded is the work that this system itself still has to do, and that is young: an order that waits
for nobody else ends within seconds. One that is older waits for a PSP that is slow, a bank, a service that is
away; refusing others would not make it end sooner. So an order takes its place for `OURS_S` at most, and
however many wait for somebody else, `limit` orders are accepted in each such time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from kit.values.clock import Clock
from kit.values.errors import FlorinError, Unavailable
from order_svc.application.checkout.place_orders import PricedCheckout
from order_svc.domain.order import Order, Status
from order_svc.domain.reasons import TOO_MANY_OPEN_ORDERS

# Several times what an order takes while all is well and the limit is reached; an order that is still open
# then does not wait for us.
OURS_S: Final = 10.0

# Later than the first of these with its events, a service accepts fewer orders; as late as the second, none.
_LATE_S: Final = 0.25
_TOO_LATE_S: Final = 0.75

CountOpen = Callable[[datetime, int], Awaitable[int]]
"""Returns how many orders are PROCESSING that were placed since then, up to the given number."""


def shed_share(late_s: float) -> float:
    """Return which share of those who come is refused when events are so late."""
    return min(1.0, max(0.0, (late_s - _LATE_S) / (_TOO_LATE_S - _LATE_S)))


class Admission:
    """Bounds the orders that are under way, and wait for this system itself.

    Their number is read from the database now and then, for what other replicas do; in between this process
    counts what it has itself accepted and seen ending. Nothing it knows is older than `OURS_S`, so a number
    that cannot be read any more neither closes the shop for ever nor leaves it open.

    Before that limit there is a sooner one, which needs no number: while this process is late with the events
    of the orders that it has accepted, it accepts fewer, down to none. So what a machine can do need not be
    known beforehand, and an order that is accepted ends soon.

    Args:
        count_open: reads the number of orders that are open and young.
        late_s: how late this process is with the events of its orders.
        limit: of orders that are open and young.
        clock: by which orders are placed.
        seconds: a clock that only grows.
    """

    def __init__(
        self,
        count_open: CountOpen,
        *,
        late_s: Callable[[], float],
        limit: int,
        clock: Clock,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count_open = count_open
        self._late_s = late_s
        # Parts of a refusal that are owed to those who come, so that half of them are refused at a half.
        self._owed = 0.0
        self._limit = limit
        self._clock = clock
        self._seconds = seconds
        # (when, how many): what was read last, and each change that this process has seen since.
        self._known: deque[tuple[float, int]] = deque()

    async def refresh(self) -> None:
        """Read how many orders are open and young."""
        asked = self._seconds()
        # One more than the limit says "too many", and more than that nobody wants to know.
        count = await self._count_open(self._young_since(), self._limit + 1)
        # What was placed while we asked may be in the number or not: better twice than not at all.
        meanwhile = [(at, change) for at, change in self._known if at >= asked and change > 0]
        self._known = deque([(asked, count), *meanwhile])

    def admit(self, priced: Sequence[PricedCheckout]) -> list[PricedCheckout]:
        """Return the checkouts with a refusal for each, from the first, for which there is no room.

        Nothing is counted yet, because a step may run again or not be committed: see `placed`.
        """
        open_orders = self._open()
        share = shed_share(self._late_s())
        admitted: list[PricedCheckout] = []
        for item in priced:
            if isinstance(item.outcome, FlorinError):
                admitted.append(item)
            elif open_orders < self._limit and not self._sheds(share):
                open_orders += 1
                admitted.append(item)
            else:
                admitted.append(replace(item, outcome=self._refusal(open_orders)))
        return admitted

    def _sheds(self, share: float) -> bool:
        """Return whether the next one is among this share of those who come."""
        self._owed += share
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True

    def placed(self, orders: int) -> None:
        """Count orders that were accepted and committed."""
        if orders:
            self._known.append((self._seconds(), orders))

    def changed(self, orders: Iterable[Order]) -> None:
        """Give the places back of those orders that a committed step has ended, or left to their buyer."""
        since = self._young_since()
        left = sum(order.status is not Status.PROCESSING and order.created_at > since for order in orders)
        if left:
            self._known.append((self._seconds(), -left))

    def _young_since(self) -> datetime:
        return self._clock() - timedelta(seconds=OURS_S)

    def _open(self) -> int:
        """Return how many places are taken, as far as that is known."""
        forgotten = self._seconds() - OURS_S
        while self._known and self._known[0][0] <= forgotten:
            self._known.popleft()
        return max(0, sum(change for _, change in self._known))

    def _refusal(self, open_orders: int) -> Unavailable:
        return Unavailable(
            TOO_MANY_OPEN_ORDERS,
            f"{open_orders} orders are under way, more than can be finished soon;"
            " send the request again with the same key",
            metadata={"open_orders": str(open_orders), "limit": str(self._limit)},
            retry_after_s=1.0,
        )
