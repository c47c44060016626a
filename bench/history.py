"""Weeks of orders in a fresh system, proven before the load begins: what it costs that a shop is not new.

The PSP's simulator has no part in them. What a PSP would list of them is told to the proof once, by
`MadeAccount`; from then on the proof asks the simulator for what is new, as it would any PSP.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import islice
from typing import Final

import psycopg

from bench import carts, made_rows
from bench.made_rows import Weeks
from bench.system import System
from payment_svc.proof import Money, PspCharge, PspMovement
from proof import Audit, Check, Proof, prove
from proof.audit import DATABASES
from runner import postgres
from runner.access.audit import audit_of, memory_of
from terminal.errors import CommandError

# The last made order is so old that nothing of it is on its way.
_GAP: Final = timedelta(minutes=5)

# The merchant whom the load buys from, among others.
_MERCHANTS: Final = (carts.MERCHANT, *(f"mer_{number}" for number in range(1, 10)))

# As many as the proof compares at once.
_PAGE: Final = 1_000
# Beyond it a wait is not worth it: ask for fewer orders.
_PROOF_DEADLINE_S: Final = 1_800.0

_BITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Orders that a system has behind it."""

    days: int
    orders: int


def fill(system: System, history: History, *, on_made: Callable[[float], None] = lambda share: None) -> Weeks:
    """Make the rows of all contexts, and return which they are; told is which share of them is there."""
    until = datetime.now(UTC) - _GAP
    weeks = Weeks(
        orders=history.orders,
        since=until - timedelta(days=history.days),
        until=until,
        merchants=_MERCHANTS,
        # Nobody waits for weeks: what a buyer leaves is cancelled within the hour.
        waiting_each=0,
    )
    urls = [
        postgres.superuser_url(system.settings, system.secrets, database=database) for database in DATABASES
    ]
    made, lock = 0, threading.Lock()

    def count(orders: int) -> None:
        nonlocal made
        with lock:
            made += orders
            on_made(made / history.orders / len(urls))

    def make(url: str) -> None:
        made_rows.make(url, weeks, on_made=count)
        with psycopg.connect(url, autocommit=True) as connection:
            # As autovacuum would have left it: who first reads a row would otherwise write it once more.
            connection.execute("VACUUM")
            # What was written is not to be written out during what is measured.
            connection.execute("CHECKPOINT")

    with ThreadPoolExecutor(len(urls)) as pool:
        for done in [pool.submit(make, url) for url in urls]:
            done.result()
    return weeks


def check(system: System, weeks: Weeks, *, on_verdict: Callable[[Check], None] = lambda check: None) -> Proof:
    """Prove what was made, so that the next proof goes on from here.

    Raises:
        CommandError: it does not agree with itself, or it took too long.
    """
    there = audit_of(system.settings)
    audit = Audit(database_url=there.database_url, psp=MadeAccount(weeks))

    async def look() -> Proof:
        async with asyncio.timeout(_PROOF_DEADLINE_S):
            return await prove(audit, memory_of(system.settings), on_verdict=on_verdict)

    try:
        proof = asyncio.run(look())
    except TimeoutError:
        raise CommandError(f"The made orders were not proven within {_PROOF_DEADLINE_S:g} s.") from None
    if not proof.ok:
        failed = [f"{check.name}: {check.detail}" for check in proof.checks if not check.ok]
        raise CommandError("The made orders do not agree with themselves.", detail="\n".join(failed))
    return proof


class MadeAccount:
    """What a PSP would say of made orders: each that did not fail was charged once."""

    def __init__(self, weeks: Weeks) -> None:
        self._weeks = weeks

    async def pages(self, since_s: int = 0) -> AsyncIterator[list[PspCharge]]:
        """Page through all charges, newest first."""
        charges = self._charges(since_s)
        while page := list(islice(charges, _PAGE)):
            yield page

    async def movements(self, since_s: int = 0) -> AsyncIterator[list[PspMovement]]:
        """Page through what moved the balance, newest first."""
        taken = (charge for charge in self._charges(since_s) if charge.money is Money.TAKEN)
        while page := list(islice(taken, _PAGE)):
            yield [
                PspMovement(
                    reference=charge.reference.replace("pi_", "txn_"),
                    kind="charge",
                    source=charge.reference.replace("pi_", "ch_"),
                    payment_id=charge.payment_id,
                    currency=charge.currency,
                    amount=charge.taken_amount,
                    created_s=charge.created_s,
                    is_payout=False,
                )
                for charge in page
            ]

    async def payment(self, reference: str) -> PspCharge | None:
        """Return one charge."""
        return next((charge for charge in self._charges(0) if charge.reference == reference), None)

    def _charges(self, since_s: int) -> Iterator[PspCharge]:
        weeks = self._weeks
        for number in range(weeks.first + weeks.orders - 1, weeks.first - 1, -1):
            at_ms = weeks.since_ms + (number - weeks.first) * weeks.length_ms // weeks.orders
            if at_ms // 1000 < since_s:
                return
            rest = "".join(_BITS[at_ms >> place & 31] for place in range(45, -1, -5)) + f"{number:016X}"
            failed = number % made_rows.FAILED_EACH == 0
            yield PspCharge(
                reference=f"pi_{rest}",
                payment_id=f"pay_{rest}",
                order_id=f"ord_{rest}",
                currency="EUR",
                taken_amount=Fraction(0 if failed else made_rows.TOTAL_AMOUNT),
                money=Money.NONE if failed else Money.TAKEN,
                status="canceled" if failed else "succeeded",
                created_s=at_ms // 1000,
            )
