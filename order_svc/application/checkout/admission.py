"""Accepts no more than can be finished: a promise of 202 is kept, or not given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from kit.values.errors import FlorinError, Unavailable
from order_svc.application.checkout.place_orders import PricedCheckout
from order_svc.domain.reasons import TOO_MANY_OPEN_ORDERS


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

    def admit(self, priced: Sequence[PricedCheckout]) -> list[PricedCheckout]:
        """Return the checkouts with a refusal for each, from the first, for which there is no room.

        Nothing is counted yet, because a step may run again or not be committed: see `placed`.
        """
        open_orders = self._open
        admitted: list[PricedCheckout] = []
        for item in priced:
            if isinstance(item.outcome, FlorinError):
                admitted.append(item)
            elif open_orders < self._limit:
                open_orders += 1
                admitted.append(item)
            else:
                admitted.append(replace(item, outcome=self._refusal(open_orders)))
        return admitted

    def placed(self, orders: int) -> None:
        """Count orders that were accepted and committed."""
        self._open += orders

    def _refusal(self, open_orders: int) -> Unavailable:
        return Unavailable(
            TOO_MANY_OPEN_ORDERS,
            f"{open_orders} orders are under way, more than can be finished soon;"
            " send the request again with the same key",
            metadata={"open_orders": str(open_orders), "limit": str(self._limit)},
            retry_after_s=1.0,
        )
