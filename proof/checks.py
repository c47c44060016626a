"""All checks, and how a look becomes a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import psycopg

from payment_svc.proof import NoListing
from proof.agreement import orders_payments_ledger_agree
from proof.audit import Audit
from proof.books import balances_replay, ledger_append_only, ledger_zero_sum
from proof.limits import caps_hold, stock_conserved
from proof.liveness import dead_letters, nothing_stuck
from proof.memory import Memory, MemoryLost
from proof.psp import clearing_matches_psp, no_double_charge
from proof.verdict import Check, Finding, Proof, State, verdict

Look = Callable[[Audit, State], Awaitable[Finding]]

CHECKS: Final[Mapping[str, Look]] = {
    "ledger_zero_sum": ledger_zero_sum,
    "ledger_append_only": ledger_append_only,
    "balances_replay": balances_replay,
    "orders_payments_ledger_agree": orders_payments_ledger_agree,
    "no_double_charge": no_double_charge,
    "clearing_matches_psp": clearing_matches_psp,
    "caps_hold": caps_hold,
    "stock_conserved": stock_conserved,
    "nothing_stuck": nothing_stuck,
    "dead_letters": dead_letters,
}

# Databases are read one after the other, so what is on its way between two of them looks wrong for a
# moment. What still looks wrong after this time is wrong.
SECOND_LOOK_AFTER_S: Final = 2.0

_UNREACHABLE: Final = (psycopg.Error, NoListing, MemoryLost, TimeoutError, OSError)


async def prove(
    audit: Audit,
    memory: Memory | None = None,
    *,
    full: bool = False,
    on_verdict: Callable[[Check], None] = lambda check: None,
    second_look_after_s: float = SECOND_LOOK_AFTER_S,
) -> Proof:
    """Return the verdict on everything; what could not be looked at is not proven.

    Args:
        memory: how far all was proven before; without one everything is looked at.
        full: look at everything all the same, and at whether what was proven is still what it was.
        on_verdict: told of each check as soon as it is decided.
    """

    async def decide(name: str, look: Look) -> Check:
        started = time.monotonic()
        check = await _decide(name, look, audit, memory, full, second_look_after_s)
        check = replace(check, ms=round((time.monotonic() - started) * 1000))
        on_verdict(check)
        return check

    try:
        return Proof(tuple(await asyncio.gather(*(decide(name, look) for name, look in CHECKS.items()))))
    finally:
        await audit.close()


async def _decide(
    name: str, look: Look, audit: Audit, memory: Memory | None, full: bool, second_look_after_s: float
) -> Check:
    try:
        proven = memory.proven(name) if memory else {}
        # A full look begins at the beginning and is told what was found there before.
        state = {"promised": proven} if full and proven else proven
        if memory and (anchors := memory.anchors(name, last=not full)):
            state = {**state, "anchors": anchors}
        found = await look(audit, state)
        if found.problems:
            await asyncio.sleep(second_look_after_s)
            before, found = found, await look(audit, state)
            if left := [problem for key, problem in found.problems.items() if key in before.problems]:
                return verdict(name, found.looked_at, left)
        if memory and found.state is not None and not found.problems:
            memory.remember(name, found.state)
    except _UNREACHABLE as error:
        return Check(name, ok=False, detail=f"could not be checked: {error!r}"[:500])
    return verdict(name, found.looked_at, [])
