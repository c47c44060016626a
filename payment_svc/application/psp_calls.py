"""Calls to PSPs that are under way in this process: bounded, and one at a time for a payment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from payment_svc.domain.payment import Payment

log = structlog.get_logger(__name__)

# Charges under way at once. They take about half a second each, so this is what a PSP allows an account at
# first: some hundred a second.
MAX_CHARGES: Final = 64

# Look-ups under way at once, in slots of their own: charges that wait must not keep it from being found out
# what became of those before them. Few, because a PSP allows fewer of them.
MAX_LOOK_UPS: Final = 12

Call = Callable[[Payment], Awaitable[None]]


class PspCalls:
    """Makes calls in the background; holds nothing that is not in the database.

    A payment whose call is lost with this process is found by the look-up, here or in another replica.
    """

    def __init__(self) -> None:
        self._charges = asyncio.Semaphore(MAX_CHARGES)
        self._look_ups = asyncio.Semaphore(MAX_LOOK_UPS)
        # By payment id: what this process is asking the PSP already, it does not ask twice.
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._looking_up: set[str] = set()
        self._ends = False

    @property
    def under_way(self) -> int:
        """How many calls have begun, or wait for their slot."""
        return len(self._under_way)

    @property
    def room_to_look_up(self) -> int:
        """How many more look-ups could be under way."""
        return MAX_LOOK_UPS - len(self._looking_up)

    def charge(self, payment: Payment, call: Call) -> None:
        """Make a call that charges a payment, unless one about it is under way."""
        self._start(payment, call, self._charges)

    def look_up(self, payment: Payment, call: Call) -> bool:
        """Make a call that looks a payment up; return False if one about it is under way."""
        task = self._start(payment, call, self._look_ups)
        if task is None:
            return False
        self._looking_up.add(payment.id)
        task.add_done_callback(lambda _: self._looking_up.discard(payment.id))
        return True

    async def finish(self) -> None:
        """Let calls that have begun finish, as long as their own deadline allows; the others never begin."""
        self._ends = True
        if self._under_way:
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _start(self, payment: Payment, call: Call, slots: asyncio.Semaphore) -> asyncio.Task[None] | None:
        if payment.id in self._under_way:
            return None

        async def run() -> None:
            async with slots:
                if self._ends:
                    return
                try:
                    await call(payment)
                except Exception as error:  # the boundary of a call: the PSP knows, and the look-up will ask
                    warn("payment.call_failed", payment, error)

        task = asyncio.create_task(run())
        self._under_way[payment.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(payment.id))
        return task


def warn(event: str, payment: Payment, error: Exception | str) -> None:
    """Log what came in the way of one payment, so that it is found by its checkout's correlation id."""
    log.warning(
        event,
        payment_id=payment.id,
        order_id=payment.order_id,
        psp=payment.current.psp,
        attempt=payment.current.number,
        correlation_id=payment.trail.correlation_id,
        error=str(error) or repr(error),
    )
