"""Calls to the PSP that are under way in this process: bounded, and one at a time for a payment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from payment_svc.domain.payment import Payment

log = structlog.get_logger(__name__)

# PSP calls under way at once. They take about half a second each, so this is what a PSP allows an account at
# first: some hundred a second.
MAX_CALLS: Final = 64


class PspCalls:
    """Makes calls in the background; holds nothing that is not in the database.

    A payment whose call is lost with this process is found by the look-up, here or in another replica.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_CALLS)
        # By payment id: what this process is asking the PSP already, it does not ask twice.
        self._under_way: dict[str, asyncio.Task[None]] = {}

    @property
    def room(self) -> int:
        """How many more could be under way."""
        return MAX_CALLS - len(self._under_way)

    def start(self, payment: Payment, call: Callable[[Payment], Awaitable[None]]) -> None:
        """Make a call about a payment, unless one is under way."""
        if payment.id in self._under_way:
            return

        async def run() -> None:
            async with self._slots:
                try:
                    await call(payment)
                except Exception as error:  # the boundary of a call: the PSP knows, and the look-up will ask
                    warn("payment.call_failed", payment, error)

        task = asyncio.create_task(run())
        self._under_way[payment.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(payment.id))

    async def finish(self) -> None:
        """Let calls that are under way finish, as long as their own deadline allows."""
        if self._under_way:
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)


def warn(event: str, payment: Payment, error: Exception) -> None:
    """Log what came in the way of one payment, so that it is found by its checkout's correlation id."""
    log.warning(
        event,
        payment_id=payment.id,
        order_id=payment.order_id,
        correlation_id=payment.trail.correlation_id,
        error=str(error) or repr(error),
    )
