"""Calls the PSP for payments that are on record, and finds out about those without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from kit import faultpoints
from kit.database import STORE_UNAVAILABLE
from kit.errors import FlorinError
from payment_svc.application.ports import PaymentReader, Psp, PspUnavailable, PspUndecided
from payment_svc.domain.payment import Payment, PspFact, Source, Status

log = structlog.get_logger(__name__)

# PSP calls under way at once; Stripe's own default limit is 100 a second and key, with calls of ~0.5 s.
MAX_CALLS: Final = 64

# Payments looked up at once, and how long a process may take before another one looks, too.
SWEEP_BATCH: Final = 100
SWEEP_LEASE_S: Final = 15.0

Learn = Callable[[PspFact], Awaitable[None]]
"""Applies a fact, together with its neighbours."""


class Charger:
    """Charges payments after the step that recorded them.

    Holds nothing that is not in the database: a payment whose call is lost with this process is found by
    `sweep`, here or in another replica.
    """

    def __init__(self, psp: Psp, reader: PaymentReader, learn: Learn) -> None:
        self._psp = psp
        self._reader = reader
        self._learn = learn
        self._slots = asyncio.Semaphore(MAX_CALLS)
        self._calls: set[asyncio.Task[None]] = set()

    def charge(self, payments: Sequence[Payment]) -> None:
        """Start charging these payments; returns at once."""
        for payment in payments:
            self._start(payment, self._charge(payment))

    async def sweep(self) -> int:
        """Look up payments that have been undecided for too long; return how many.

        Unknown is a state: the PSP is asked for the payment first. Only if it has never heard of it the
        same call is made again, under the same key, so that it cannot charge twice even then.
        """
        payments = await self._reader.claim_undecided(limit=SWEEP_BATCH, lease_s=SWEEP_LEASE_S)
        for payment in payments:
            self._start(payment, self._find_or_charge(payment))
        if payments:
            log.info(
                "payments.looked_up",
                payment_ids=[payment.id for payment in payments],
                correlation_ids=[payment.trail.correlation_id for payment in payments],
            )
        return len(payments)

    async def stop(self) -> None:
        """Let calls that are under way finish, as long as their own deadline allows."""
        if self._calls:
            await asyncio.gather(*self._calls, return_exceptions=True)

    def _start(self, payment: Payment, call: Awaitable[None]) -> None:
        async def run() -> None:
            async with self._slots:
                try:
                    await call
                except (FlorinError, *STORE_UNAVAILABLE) as error:
                    # The fact is not lost: the PSP has it, and the sweep will ask.
                    _warn("payment.fact_not_stored", payment, error)

        task = asyncio.create_task(run())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _charge(self, payment: Payment) -> None:
        faultpoints.passing("payment_svc.before_charge")
        try:
            fact = await self._psp.charge(payment)
        except PspUndecided as error:
            _warn("payment.undecided", payment, error)
            fact = PspFact(payment.id, Status.UNKNOWN, Source.ANSWER)
        except PspUnavailable as error:
            # Nothing happened at the PSP; the sweep makes the same call again.
            _warn("payment.psp_unavailable", payment, error)
            return
        faultpoints.passing("payment_svc.after_charge")
        await self._learn(fact)

    async def _find_or_charge(self, payment: Payment) -> None:
        try:
            found = await self._psp.find(payment)
        except (PspUndecided, PspUnavailable) as error:
            _warn("payment.lookup_failed", payment, error)
            return
        if found is None:
            await self._charge(payment)
        else:
            await self._learn(found)


def _warn(event: str, payment: Payment, error: Exception) -> None:
    """Log what came in the way of one payment, so that it is found by its checkout's correlation id."""
    log.warning(
        event,
        payment_id=payment.id,
        order_id=payment.order_id,
        correlation_id=payment.trail.correlation_id,
        error=str(error) or repr(error),
    )
