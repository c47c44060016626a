"""Asks the PSP for payments that have been undecided for too long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from kit.values.clock import Clock
from payment_svc.application.charge.charge_payments import Charger, Learn
from payment_svc.application.ports import PaymentReader, Psp, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import PspCalls, warn
from payment_svc.domain.payment import Payment, Status

log = structlog.get_logger(__name__)

# Payments looked up at once, and how long a process may take before another one looks, too.
BATCH: Final = 100
LEASE_S: Final = 15.0


class LookUps:
    """Looks up what nobody has decided; each payment has its own time at which it is due."""

    def __init__(
        self,
        psp: Psp,
        reader: PaymentReader,
        calls: PspCalls,
        charger: Charger,
        learn: Learn,
        *,
        clock: Clock,
        action_ttl_s: float,
    ) -> None:
        self._psp = psp
        self._reader = reader
        self._calls = calls
        self._charger = charger
        self._learn = learn
        self._clock = clock
        self._action_ttl = timedelta(seconds=action_ttl_s)

    async def look_up_due(self) -> int:
        """Start looking up the payments that are due; return how many.

        Unknown is a state: the PSP is asked for the payment first. Only if it has never heard of it the
        same call is made again, under the same key, so that it cannot charge twice even then.
        """
        room = min(BATCH, self._calls.room)
        if room <= 0:
            return 0
        payments = await self._reader.claim_undecided(limit=room, lease_s=LEASE_S)
        for payment in payments:
            self._calls.start(payment, self._find_or_charge)
        if payments:
            log.info(
                "payments.looked_up",
                payment_ids=[payment.id for payment in payments],
                correlation_ids=[payment.trail.correlation_id for payment in payments],
            )
        return len(payments)

    async def _find_or_charge(self, payment: Payment) -> None:
        try:
            found = await self._psp.find(payment)
        except (PspUndecided, PspUnavailable) as error:
            warn("payment.lookup_failed", payment, error)
            return
        if found is None:
            await self._charge_again(payment)
        elif found.status is payment.status is Status.REQUIRES_ACTION and self._waited_long_enough(payment):
            await self._cancel(payment)
        else:
            await self._learn(found)

    async def _charge_again(self, payment: Payment) -> None:
        """Charge what the PSP has not heard of, while its key protects from a second charge.

        An older payment without a trace at the PSP is left to a person.
        """
        if self._clock() - payment.created_at > self._psp.key_lifetime:
            log.error("payment.lost", payment_id=payment.id, correlation_id=payment.trail.correlation_id)
            return
        await self._charger.charge_again(payment)

    def _waited_long_enough(self, payment: Payment) -> bool:
        return self._clock() - payment.created_at > self._action_ttl

    async def _cancel(self, payment: Payment) -> None:
        """End a payment whose buyer did not come back: at the PSP first, so that no money can follow."""
        try:
            await self._learn(await self._psp.cancel(payment))
        except (PspUndecided, PspUnavailable) as error:
            warn("payment.not_cancelled", payment, error)
