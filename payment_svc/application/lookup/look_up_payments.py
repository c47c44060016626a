"""Asks PSPs for payments that have been undecided for too long."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from kit.values.clock import Clock
from payment_svc.application.charge.charge_payments import Charger, fact_of
from payment_svc.application.ports import PaymentReader, Psp, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import PspCalls, warn
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, Source, Status

log = structlog.get_logger(__name__)

# How long a process may take for a look-up before another one looks, too.
LEASE_S: Final = 15.0


class LookUps:
    """Looks up what nobody has decided; each payment has its own time at which it is due.

    Args:
        psps: by name: only the PSP that was called knows what became of it.
    """

    def __init__(
        self,
        psps: Mapping[str, Psp],
        reader: PaymentReader,
        calls: PspCalls,
        charger: Charger,
        *,
        clock: Clock,
        action_ttl_s: float,
    ) -> None:
        self._psps = psps
        self._reader = reader
        self._calls = calls
        self._charger = charger
        self._clock = clock
        self._action_ttl = timedelta(seconds=action_ttl_s)

    async def look_up_due(self) -> int:
        """Start looking up the payments that are due, as many as there are slots; return how many."""
        begun: list[Payment] = []
        while room := self._calls.room_to_look_up:
            due = await self._reader.claim_undecided(limit=room, lease_s=LEASE_S)
            begun += [payment for payment in due if self._calls.look_up(payment, self._look_up)]
            if len(due) < room:
                break
        if begun:
            log.info(
                "payments.looked_up",
                payment_ids=[payment.id for payment in begun],
                correlation_ids=[payment.trail.correlation_id for payment in begun],
            )
        return len(begun)

    async def _look_up(self, payment: Payment) -> None:
        """Ask the PSP that was called what became of it, and go on from there.

        Unknown is a state: only if the PSP has never heard of it the same call is made again, under the same
        key, so that it cannot charge twice even then.
        """
        psp = self._psps.get(payment.current.psp)
        if psp is None:
            # Another PSP would say that it has never heard of it, and that would be no answer.
            warn("payment.psp_not_configured", payment, f"there is no gateway to {payment.current.psp}")
            return
        if payment.current.state is State.CLOSING:
            await self._charger.close(payment)
            return
        try:
            found = await psp.find(payment)
        except (PspUndecided, PspUnavailable) as error:
            warn("payment.lookup_failed", payment, error)
            return
        if found is None:
            await self._go_on_without_trace(payment, psp)
        elif found.status is payment.status is Status.REQUIRES_ACTION and self._waited_long_enough(payment):
            expired = fact_of(
                payment, Status.FAILED, Source.LOOKUP, reason="authentication_expired", still_payable=True
            )
            await self._charger.go_on(payment, expired)
        else:
            await self._charger.go_on(payment, found)

    async def _go_on_without_trace(self, payment: Payment, psp: Psp) -> None:
        """Charge what the PSP has not heard of, while its key protects from a second charge.

        If the PSP broke and has left nothing, that is the end of the attempt. An older payment without a
        trace at the PSP is left to a person.
        """
        if payment.current.state is State.SPENT:
            nothing = fact_of(payment, Status.FAILED, Source.LOOKUP, reason="psp_error", left_nothing=True)
            await self._charger.go_on(payment, nothing)
        elif self._clock() - payment.current.started_at > psp.key_lifetime:
            log.error("payment.lost", payment_id=payment.id, correlation_id=payment.trail.correlation_id)
        else:
            await self._charger.charge_now(payment)

    def _waited_long_enough(self, payment: Payment) -> bool:
        return self._clock() - payment.created_at > self._action_ttl
