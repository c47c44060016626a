"""One run of the benchmark on a running system, from the first pgbench to the proof."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import history, machine, overload, pgbench, shop
from bench.machine import Speed
from bench.measure import Measured, assign, measure
from bench.orders import OrderDatabase
from bench.overload import Overload
from bench.plan import Plan
from bench.progress import Bars
from bench.report import PROOF_DEADLINE_S, Report
from bench.search import Search
from bench.system import System
from bench.window import Window
from proof import Proof, prove
from runner import interpreter
from runner.access.audit import audit_of, memory_of


def run(system: System, plan: Plan, bars: Bars) -> Report:
    """Measures the system as `plan` says, checks every promise it made, and proves its books."""
    with ExitStack() as stack:
        orders = OrderDatabase(system.settings)
        stack.callback(orders.close)
        proof_of_history = _history(system, plan, bars)
        if plan.pgbench_s > 0:
            bars.phase("pgbench: make its database")
            stack.enter_context(pgbench.database(system.settings, system.secrets))
        speeds = [_speed(system, plan, bars, "before")]
        bars.phase("Stock the shop")
        shop.stock_up(
            system,
            plan.mix.products,
            on_product=lambda done: bars.detail(f"{done} of {plan.mix.products} products"),
        )
        stack.enter_context(shop.provider_latency(system, plan.psp_latency_ms))
        loaded = _load(
            system, orders, plan, bars, between=lambda: speeds.append(_speed(system, plan, bars, "between"))
        )
        speeds.append(_speed(system, plan, bars, "after"))
        bars.phase("Prove that every cent and every unit is where it should be")
        proof = _prove(system)
    return Report(
        plan=plan,
        steady=loaded.windows[0],
        windows=loaded.windows,
        search=loaded.search,
        overloads=loaded.overloads,
        interpreter=interpreter.running(),
        speeds=speeds,
        proof=proof,
        proof_of_history=proof_of_history,
    )


def _history(system: System, plan: Plan, bars: Bars) -> Proof | None:
    """Fill the system with what it is to have behind it; return the proof of that."""
    if plan.history is None:
        return None
    made = f"{plan.history.orders:,} orders of {plan.history.days} days"
    started = time.monotonic()
    bars.phase(f"Make {made}")
    weeks = history.fill(system, plan.history, on_made=bars.share)
    bars.finding(f"{made} made in {time.monotonic() - started:.0f} s")
    bars.phase("Prove them once")
    started = time.monotonic()
    proof = history.check(
        system, weeks, on_verdict=lambda check: bars.detail(f"{check.name}: {check.ms / 1000:.1f} s")
    )
    bars.finding(f"proven in {time.monotonic() - started:.0f} s; what comes now is what is new")
    return proof


@dataclass(frozen=True, slots=True)
class _Loaded:
    windows: list[Measured]
    search: Search | None = None
    overloads: list[Overload] = field(default_factory=list)


def _load(
    system: System, orders: OrderDatabase, plan: Plan, bars: Bars, *, between: Callable[[], None]
) -> _Loaded:
    """The steady window first, then those of the search, then those above what it found."""
    # The system may have seen an earlier run, whose keys it remembers.
    run_name = f"bench-{uuid.uuid4().hex[:8]}"
    tokens = shop.buyers(system, plan.buyers)
    windows: list[Measured] = []

    def load(window: Window, title: str) -> Measured:
        bars.phase(title, window.length_s)
        measured = measure(
            system,
            orders,
            assign(system, window, mix=plan.mix, tokens=tokens, name=f"{run_name}-{len(windows)}"),
            on_drain=lambda left: bars.detail(f"{left} orders under way"),
        )
        windows.append(measured)
        return measured

    steady = load(plan.steady, f"Steady load: {plan.rate_per_s:g} checkouts/s")
    bars.finding(_told(steady))
    if not steady.promises.kept or not (plan.search or plan.overload):
        return _Loaded(windows)
    between()
    search = Search(start_per_s=plan.rate_per_s)
    search.record(steady.as_probe())
    while plan.search and (rate_per_s := search.next_rate()) is not None:
        probe = load(plan.probe(rate_per_s), f"Search: {rate_per_s:g} checkouts/s")
        search.record(probe.as_probe())
        bars.finding(_told(probe))
        if not probe.promises.kept:
            return _Loaded(windows, search)
    loaded = _Loaded(windows, search if plan.search else None)
    best = search.best
    if plan.overload and best is None:
        bars.finding("No overload: there is no rate yet that the system keeps up with.")
    if not plan.overload or best is None:
        return loaded
    for times, rate_per_s in overload.rates(best.rate_per_s):
        window = load(plan.overload_window(rate_per_s), f"Overload: {times:g} times {best.rate_per_s:g}/s")
        loaded.overloads.append(Overload.of(times, window, best_completed_per_s=best.completed_per_s))
        bars.finding(_told(window))
        if not window.promises.kept:
            break
    return loaded


def _told(measured: Measured) -> str:
    probe = measured.as_probe()
    verdict = "keeps up" if probe.keeps_up else "; ".join(probe.objections())
    accept, completion = measured.accept_ms, measured.completion_ms
    return (
        f"{measured.window.rate_per_s:g}/s: {measured.completed_per_s:g} completed/s, "
        f"accept p50 {accept.p50} p99 {accept.p99} ms, "
        f"completion p50 {completion.p50} p99 {completion.p99} ms: {verdict}"
    )


def _speed(system: System, plan: Plan, bars: Bars, when: str) -> Speed:
    """What the machine is worth now that nothing else is to do."""
    bars.phase(f"The machine's own speed, {when}", machine.EXPECTED_S + plan.pgbench_s)
    loop_ms, loops_per_s = machine.loops()
    fsyncs_per_s = machine.fsyncs_per_s(system.settings.data_dir)
    tps = None
    if plan.pgbench_s > 0:
        tps = pgbench.measure(system.settings, system.secrets, duration_s=plan.pgbench_s)
    speed = Speed(
        when=when, loop_ms=loop_ms, loops_per_s=loops_per_s, fsyncs_per_s=fsyncs_per_s, pgbench_tps=tps
    )
    bars.finding(f"{when}: {speed}")
    return speed


def _prove(system: System) -> Proof | None:
    """What `florin prove` says of this system; None if it does not come to a verdict in time."""

    async def look() -> Proof:
        async with asyncio.timeout(PROOF_DEADLINE_S):
            return await prove(audit_of(system.settings), memory_of(system.settings))

    try:
        return asyncio.run(look())
    except TimeoutError:
        return None
