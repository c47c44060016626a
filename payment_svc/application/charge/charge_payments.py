"""Charges payments that are on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kit.observe import faultpoints
from payment_svc.application.ports import Psp, PspRejected, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import PspCalls, warn
from payment_svc.domain.payment import Payment, PspFact, Source, Status

Learn = Callable[[PspFact], Awaitable[None]]
"""Applies a fact, together with its neighbours."""


class Charger:
    """Charges payments after the step that recorded them."""

    def __init__(self, psp: Psp, calls: PspCalls, learn: Learn) -> None:
        self._psp = psp
        self._calls = calls
        self._learn = learn

    def charge(self, payments: Sequence[Payment]) -> None:
        """Start charging these payments; returns at once."""
        for payment in payments:
            self._calls.start(payment, self._charge)

    async def charge_again(self, payment: Payment) -> None:
        """Make the call again that the PSP has not heard of, under the same key."""
        await self._charge(payment, again=True)

    async def _charge(self, payment: Payment, *, again: bool = False) -> None:
        faultpoints.passing("payment_svc.before_charge")
        try:
            fact = await self._psp.charge(payment)
        except PspRejected as error:
            if again:
                # It may have been the first call, the one without an answer, that was not rejected.
                warn("payment.rejected_again", payment, error)
                return
            fact = PspFact(
                payment.id, Status.FAILED, Source.ANSWER, reason="rejected_by_psp", message=str(error)
            )
        except PspUndecided as error:
            warn("payment.undecided", payment, error)
            fact = PspFact(payment.id, Status.UNKNOWN, Source.ANSWER)
        except PspUnavailable as error:
            # Nothing happened at the PSP; the look-up makes the same call again.
            warn("payment.psp_unavailable", payment, error)
            return
        faultpoints.passing("payment_svc.after_charge")
        await self._learn(fact)
