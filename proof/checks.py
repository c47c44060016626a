"""All checks, and how a look becomes a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import psycopg

from payment_svc.proof import NoListing
from proof.agreement import orders_payments_ledger_agree
from proof.audit import Audit
from proof.books import balances_replay, ledger_append_only, ledger_zero_sum
from proof.limits import caps_hold, stock_conserved
from proof.liveness import dead_letters, nothing_stuck
from proof.psp import no_double_charge
from proof.verdict import Check, Finding, Proof, verdict

Look = Callable[[Audit], Awaitable[Finding]]

CHECKS: Final[Mapping[str, Look]] = {
    "ledger_zero_sum": ledger_zero_sum,
    "ledger_append_only": ledger_append_only,
    "balances_replay": balances_replay,
    "orders_payments_ledger_agree": orders_payments_ledger_agree,
    "no_double_charge": no_double_charge,
    "caps_hold": caps_hold,
    "stock_conserved": stock_conserved,
    "nothing_stuck": nothing_stuck,
    "dead_letters": dead_letters,
}

# Databases are read one after the other, so what is on its way between two of them looks wrong for a
# moment. What still looks wrong after this time is wrong.
SECOND_LOOK_AFTER_S: Final = 2.0

_UNREACHABLE: Final = (psycopg.Error, NoListing, TimeoutError, OSError)


async def prove(
    audit: Audit,
    *,
    on_verdict: Callable[[Check], None] = lambda check: None,
    second_look_after_s: float = SECOND_LOOK_AFTER_S,
) -> Proof:
    """Return the verdict on everything; what could not be looked at is not proven.

    Args:
        on_verdict: told of each check as soon as it is decided.
    """

    async def decide(name: str, look: Look) -> Check:
        check = await _decide(name, look, audit, second_look_after_s)
        on_verdict(check)
        return check

    return Proof(tuple(await asyncio.gather(*(decide(name, look) for name, look in CHECKS.items()))))


async def _decide(name: str, look: Look, audit: Audit, second_look_after_s: float) -> Check:
    try:
        first = await look(audit)
        if not first.problems:
            return verdict(name, first.looked_at, [])
        await asyncio.sleep(second_look_after_s)
        second = await look(audit)
    except _UNREACHABLE as error:
        return Check(name, ok=False, detail=f"could not be checked: {error!r}"[:500])
    left = [problem for key, problem in second.problems.items() if key in first.problems]
    return verdict(name, second.looked_at, left)
