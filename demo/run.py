"""The demo in order: products, buyers, e-mails, proof, one order's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from client import Order, TimelineStep
from demo import buyers, mail, products
from demo.progress import Bars
from demo.results import Result, ScenarioResult
from demo.scenarios import SCENARIOS, THREE_D_SECURE
from demo.system import System
from proof import CATCH_UP_S, Proof, prove
from runner.access import clients
from runner.access.audit import audit_of
from runner.settings import Settings

# The proof of so few orders takes a second; a machine that does much else gets a minute.
_PROOF_DEADLINE_S: Final = 60.0

# An order's end is a moment younger in the database's eyes than in ours.
_CLOCK_MARGIN_S: Final = 0.5


async def run(system: System, bars: Bars, *, start_s: float) -> Result:
    """All of one demo, on a system that has just been started."""
    began_at = time.monotonic()
    settings = system.settings
    bars.begin("Filling the shelf")
    async with clients.merchant(settings, products.MERCHANT) as merchant:
        await products.put_on_sale(merchant)
    bars.begin("Buying", buyers.count(SCENARIOS))
    results = await buyers.run_scenarios(settings, SCENARIOS, on_progress=bars.advance)
    bars.begin("Reading the mailbox")
    checkouts = [checkout for each in results for checkout in each.checkouts]
    orders = [checkout.order for checkout in checkouts if checkout.order is not None]
    mails = await mail.collect(settings.mailbox, frozenset(order.id for order in orders if order.ended))
    bars.begin("Proving the books")
    proof = await _prove(settings, orders)
    example = _example(results)
    return Result(
        scenarios=tuple(results),
        example=example,
        example_steps=tuple(await _timeline(settings, example)),
        mails=mails,
        proof=proof,
        start_s=start_s,
        run_s=time.monotonic() - began_at,
    )


def _example(results: Sequence[ScenarioResult]) -> Order | None:
    """An order with the longest way: one that had to be confirmed at the bank."""
    [confirmed] = [each for each in results if each.scenario is THREE_D_SECURE]
    return next((checkout.order for checkout in confirmed.checkouts if checkout.order is not None), None)


async def _timeline(settings: Settings, order: Order | None) -> list[TimelineStep]:
    if order is None:
        return []
    async with clients.ops(settings) as edge:
        return await edge.timeline(order.id)


async def _prove(settings: Settings, orders: Sequence[Order]) -> Proof:
    """What `florin prove` says, once no order is too young for it to look at."""
    last_end = max((order.ended_at for order in orders if order.ended_at), default=None)
    if last_end is not None:
        age_s = (datetime.now(UTC) - last_end).total_seconds()
        await asyncio.sleep(max(0.0, CATCH_UP_S + _CLOCK_MARGIN_S - age_s))
    async with asyncio.timeout(_PROOF_DEADLINE_S):
        return await prove(audit_of(settings))
