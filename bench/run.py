"""One run of the benchmark on a running system, from the first pgbench to the proof."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack

from bench import pgbench, shop
from bench.measure import Measured, measure
from bench.orders import OrderDatabase
from bench.plan import Plan
from bench.progress import Bars
from bench.report import PROOF_DEADLINE_S, Report
from bench.search import Search
from bench.system import System
from bench.window import Window
from proof import Proof, prove
from runner.access.audit import audit_of


def run(system: System, plan: Plan, bars: Bars) -> Report:
    """Measures the system as `plan` says, checks every promise it made, and proves its books."""
    with ExitStack() as stack:
        orders = OrderDatabase(system.settings)
        stack.callback(orders.close)
        before = after = None
        if plan.pgbench_s > 0:
            bars.phase("pgbench: make its database")
            stack.enter_context(pgbench.database(system.settings, system.secrets))
            before = _pgbench(system, plan, bars, "before")
        bars.phase("Stock the shop")
        shop.stock_up(
            system,
            plan.mix.products,
            on_product=lambda done: bars.detail(f"{done} of {plan.mix.products} products"),
        )
        stack.enter_context(shop.provider_latency(system, plan.psp_latency_ms))
        windows, search = _load(system, orders, plan, bars)
        if plan.pgbench_s > 0:
            after = _pgbench(system, plan, bars, "after")
        bars.phase("Prove that every cent and every unit is where it should be")
        proof = _prove(system)
    return Report(
        plan=plan,
        steady=windows[0],
        windows=windows,
        search=search,
        pgbench_tps_before=before,
        pgbench_tps_after=after,
        proof=proof,
    )


def _load(
    system: System, orders: OrderDatabase, plan: Plan, bars: Bars
) -> tuple[list[Measured], Search | None]:
    """The steady window first, then those of the search."""
    # The system may have seen an earlier run, whose keys it remembers.
    run_name = f"bench-{uuid.uuid4().hex[:8]}"
    tokens = shop.buyers(system, plan.buyers)
    windows: list[Measured] = []

    def load(window: Window, title: str) -> Measured:
        bars.phase(title, window.length_s)
        measured = measure(
            system,
            orders,
            window,
            mix=plan.mix,
            tokens=tokens,
            name=f"{run_name}-{len(windows)}",
            on_drain=lambda left: bars.detail(f"{left} orders under way"),
        )
        windows.append(measured)
        return measured

    steady = load(plan.steady, f"Steady load: {plan.rate_per_s:g} checkouts/s")
    bars.finding(_told(steady))
    if not plan.search or not steady.promises.kept:
        return windows, None
    search = Search(start_per_s=plan.rate_per_s)
    search.record(steady.as_probe())
    while (rate_per_s := search.next_rate()) is not None:
        probe = load(plan.probe(rate_per_s), f"Search: {rate_per_s:g} checkouts/s")
        search.record(probe.as_probe())
        bars.finding(_told(probe))
        if not probe.promises.kept:
            break
    return windows, search


def _told(measured: Measured) -> str:
    probe = measured.as_probe()
    verdict = "keeps up" if probe.keeps_up else "; ".join(probe.objections())
    accept, completion = measured.accept_ms, measured.completion_ms
    return (
        f"{measured.window.rate_per_s:g}/s: {measured.completed_per_s:g} completed/s, "
        f"accept p50 {accept.p50} p99 {accept.p99} ms, "
        f"completion p50 {completion.p50} p99 {completion.p99} ms: {verdict}"
    )


def _pgbench(system: System, plan: Plan, bars: Bars, when: str) -> float:
    bars.phase(f"pgbench TPC-B {when}", plan.pgbench_s)
    tps = pgbench.measure(system.settings, system.secrets, duration_s=plan.pgbench_s)
    bars.finding(f"pgbench {when}: {tps:,.0f} transactions/s")
    return tps


def _prove(system: System) -> Proof | None:
    """What `florin prove` says of this system; None if it does not come to a verdict in time."""

    async def look() -> Proof:
        async with asyncio.timeout(PROOF_DEADLINE_S):
            return await prove(audit_of(system.settings))

    try:
        return asyncio.run(look())
    except TimeoutError:
        return None
