"""Charges payments that are on record, and goes on with them as their PSP answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from kit.observe import faultpoints
from payment_svc.application.ports import Psp, PspKeySpent, PspRejected, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import PspCalls, warn
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from payment_svc.domain.schedule import LEAVE_TO_CALL_S, LONGEST_CALL_S

Learn = Callable[[PspFact], Awaitable[Payment | None]]
"""Applies a fact, together with its neighbours, and returns the payment as it is then."""

TakeLeave = Callable[[Payment], Awaitable[bool]]
"""Puts on record that a payment is about to be charged, and returns whether it may be."""


class Charger:
    """Charges payments after the step that recorded them.

    Args:
        psps: by name: a payment is charged where its current attempt says.
    """

    def __init__(self, psps: Mapping[str, Psp], calls: PspCalls, learn: Learn, take_leave: TakeLeave) -> None:
        self._psps = psps
        self._calls = calls
        self._learn = learn
        self._take_leave = take_leave

    def charge(self, payments: Sequence[Payment], *, recorded_s: float) -> None:
        """Start charging payments that are new; returns at once.

        Args:
            recorded_s: the loop's time before they were put on record, each with leave for its first call.
        """

        async def first(payment: Payment) -> None:
            # A slot may have been long in coming, and the payment have been decided since.
            if _now_s() < _begin_by(recorded_s):
                await self._call(payment)
            else:
                await self.charge_now(payment)

        for payment in payments:
            self._calls.charge(payment, first)

    async def charge_now(self, payment: Payment) -> None:
        """Charge a payment, unless more is known of it meanwhile than that it is open."""
        asked_s = _now_s()
        if await self._take_leave(payment) and _now_s() < _begin_by(asked_s):
            await self._call(payment)

    async def _call(self, payment: Payment) -> None:
        """Make the call, under the key of the current attempt.

        It may be made again under the same key, as long as the PSP remembers it: whatever it did the first
        time is then its answer. So a refusal proves, at the second call, too, that nothing was done.
        """
        faultpoints.passing("payment_svc.before_charge")
        try:
            async with asyncio.timeout(LONGEST_CALL_S):
                fact = await self._psps[payment.current.psp].charge(payment)
        except PspRejected as error:
            fact = fact_of(payment, Status.FAILED, reason="rejected_by_psp", message=str(error))
        except (PspUndecided, TimeoutError) as error:
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


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _begin_by(recorded_s: float) -> float:
    """Return until when a call may begin, so that it is over before its leave is; that is a little newer."""
    return recorded_s + LEAVE_TO_CALL_S - LONGEST_CALL_S


def fact_of(
    payment: Payment,
    status: Status,
    source: Source = Source.ANSWER,
    *,
    reason: str = "",
    message: str = "",
    key_spent: bool = False,
    still_payable: bool = False,
    left_nothing: bool = False,
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
        left_nothing=left_nothing,
    )
