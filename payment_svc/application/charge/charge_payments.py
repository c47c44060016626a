"""Calls the PSP for payments that are on record, and finds out about those without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from kit.observe import faultpoints
from kit.values.clock import Clock
from payment_svc.application.ports import PaymentReader, Psp, PspRejected, PspUnavailable, PspUndecided
from payment_svc.domain.payment import Payment, PspFact, Source, Status

log = structlog.get_logger(__name__)

# PSP calls under way at once. They take about half a second each, so this is what a PSP allows an account at
# first: some hundred a second.
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

    def __init__(
        self, psp: Psp, reader: PaymentReader, learn: Learn, *, clock: Clock, action_ttl_s: float
    ) -> None:
        self._psp = psp
        self._reader = reader
        self._learn = learn
        self._clock = clock
        self._action_ttl = timedelta(seconds=action_ttl_s)
        self._slots = asyncio.Semaphore(MAX_CALLS)
        # By payment id: what this process is asking the PSP already, it does not ask twice.
        self._calls: dict[str, asyncio.Task[None]] = {}

    def charge(self, payments: Sequence[Payment]) -> None:
        """Start charging these payments; returns at once."""
        for payment in payments:
            self._start(payment, self._charge)

    async def sweep(self) -> int:
        """Look up payments that have been undecided for too long; return how many.

        Unknown is a state: the PSP is asked for the payment first. Only if it has never heard of it the
        same call is made again, under the same key, so that it cannot charge twice even then.
        """
        room = min(SWEEP_BATCH, MAX_CALLS - len(self._calls))
        if room <= 0:
            return 0
        payments = await self._reader.claim_undecided(limit=room, lease_s=SWEEP_LEASE_S)
        for payment in payments:
            self._start(payment, self._find_or_charge)
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
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def _start(self, payment: Payment, call: Callable[[Payment], Awaitable[None]]) -> None:
        if payment.id in self._calls:
            return

        async def run() -> None:
            async with self._slots:
                try:
                    await call(payment)
                except Exception as error:  # the boundary of a call: the PSP knows, and the sweep will ask
                    _warn("payment.call_failed", payment, error)

        task = asyncio.create_task(run())
        self._calls[payment.id] = task
        task.add_done_callback(lambda _: self._calls.pop(payment.id))

    async def _charge(self, payment: Payment, *, again: bool = False) -> None:
        faultpoints.passing("payment_svc.before_charge")
        try:
            fact = await self._psp.charge(payment)
        except PspRejected as error:
            if again:
                # It may have been the first call, the one without an answer, that was not rejected.
                _warn("payment.rejected_again", payment, error)
                return
            fact = PspFact(
                payment.id, Status.FAILED, Source.ANSWER, reason="rejected_by_psp", message=str(error)
            )
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
            await self._charge_again(payment)
        elif found.status is payment.status is Status.REQUIRES_ACTION and self._waited_long_enough(payment):
            await self._cancel(payment)
        else:
            await self._learn(found)

    async def _charge_again(self, payment: Payment) -> None:
        """Make the call again that the PSP has not heard of, while its key protects from a second charge.

        An older payment without a trace at the PSP is left to a person.
        """
        if self._clock() - payment.created_at > self._psp.key_lifetime:
            log.error("payment.lost", payment_id=payment.id, correlation_id=payment.trail.correlation_id)
            return
        await self._charge(payment, again=True)

    def _waited_long_enough(self, payment: Payment) -> bool:
        return self._clock() - payment.created_at > self._action_ttl

    async def _cancel(self, payment: Payment) -> None:
        """End a payment whose buyer did not come back: at the PSP first, so that no money can follow."""
        try:
            await self._learn(await self._psp.cancel(payment))
        except (PspUndecided, PspUnavailable) as error:
            _warn("payment.not_cancelled", payment, error)


def _warn(event: str, payment: Payment, error: Exception) -> None:
    """Log what came in the way of one payment, so that it is found by its checkout's correlation id."""
    log.warning(
        event,
        payment_id=payment.id,
        order_id=payment.order_id,
        correlation_id=payment.trail.correlation_id,
        error=str(error) or repr(error),
    )
