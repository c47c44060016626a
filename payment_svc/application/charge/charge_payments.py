"""Charges payments that are on record, and goes on with them as their PSP answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from kit.observe import faultpoints
from payment_svc.application.ports import Psp, PspKeySpent, PspRejected, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import PspCalls, warn
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source, Status

Learn = Callable[[PspFact], Awaitable[Payment | None]]
"""Applies a fact, together with its neighbours, and returns the payment as it is then."""


class Charger:
    """Charges payments after the step that recorded them.

    Args:
        psps: by name: a payment is charged where its current attempt says.
    """

    def __init__(self, psps: Mapping[str, Psp], calls: PspCalls, learn: Learn) -> None:
        self._psps = psps
        self._calls = calls
        self._learn = learn

    def charge(self, payments: Sequence[Payment]) -> None:
        """Start charging these payments; returns at once."""
        for payment in payments:
            self._calls.charge(payment, self.charge_now)

    async def charge_now(self, payment: Payment) -> None:
        """Make the call, under the key of the current attempt.

        It may be made again under the same key, as long as the PSP remembers it: whatever it did the first
        time is then its answer. So a refusal proves, at the second call, too, that nothing was done.
        """
        faultpoints.passing("payment_svc.before_charge")
        try:
            fact = await self._psps[payment.current.psp].charge(payment)
        except PspRejected as error:
            fact = fact_of(payment, Status.FAILED, reason="rejected_by_psp", message=str(error))
        except PspUndecided as error:
            warn("payment.undecided", payment, error)
            fact = fact_of(payment, Status.UNKNOWN, key_spent=isinstance(error, PspKeySpent))
        except PspUnavailable as error:
            # Nothing happened at the PSP; the look-up makes the same call again.
            warn("payment.psp_unavailable", payment, error)
            return
        faultpoints.passing("payment_svc.after_charge")
        await self.go_on(payment, fact)

    async def go_on(self, payment: Payment, fact: PspFact) -> None:
        """Apply a fact and do at once what it asks for; should this process die, a look-up does it."""
        known = await self._learn(fact)
        if known is None:
            return
        if known.current.number > payment.current.number:
            await self.charge_now(known)
        elif known.current.state is State.CLOSING:
            await self.close(known)

    async def close(self, payment: Payment) -> None:
        """End a payment that nobody is to pay any more: at the PSP first, so that no money can follow."""
        try:
            fact = await self._psps[payment.current.psp].cancel(payment)
        except (PspUndecided, PspUnavailable) as error:
            warn("payment.not_cancelled", payment, error)
            return
        await self._learn(fact)


def fact_of(
    payment: Payment,
    status: Status,
    source: Source = Source.ANSWER,
    *,
    reason: str = "",
    message: str = "",
    key_spent: bool = False,
    still_payable: bool = False,
) -> PspFact:
    """Return what has become of a payment's current attempt."""
    current = payment.current
    return PspFact(
        payment.id,
        status,
        source,
        current.psp,
        attempt=current.number,
        psp_reference=current.psp_reference,
        reason=reason,
        message=message,
        key_spent=key_spent,
        still_payable=still_payable,
    )
