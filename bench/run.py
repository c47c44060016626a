"""One run of the benchmark on a running system, from the first pgbench to the proof."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from contextlib import ExitStack
from typing import Final, Protocol

from bench import pgbench, shop
from bench.audit import OrderBook
from bench.ground import Ground
from bench.measure import Measured, measure
from bench.plan import Plan
from bench.report import Proof, Report
from bench.search import Search
from bench.window import Window
from runner.control import environment
from runner.settings import checkout_root

# The proof replays every balance; a run of an hour has a lot of them.
_PROOF_DEADLINE_S: Final = 600.0


class Audience(Protocol):
    """Whoever wants to know how far the run is."""

    def phase(self, title: str, expected_s: float | None = None) -> None:
        """A new part of the run begins; it will take `expected_s` if that is known."""

    def detail(self, text: str) -> None:
        """Something about the present part."""

    def finding(self, text: str) -> None:
        """A result that is worth a line of its own."""


def run(ground: Ground, plan: Plan, audience: Audience) -> Report:
    """Measures the system as `plan` says, checks every promise it made, and proves its books."""
    with ExitStack() as stack:
        book = OrderBook(ground.settings, ground.secrets)
        stack.callback(book.close)
        before = after = None
        if plan.pgbench_s > 0:
            audience.phase("pgbench: make its database")
            stack.enter_context(pgbench.database(ground.settings, ground.secrets))
            before = _pgbench(ground, plan, audience, "before")
        audience.phase("Stock the shop")
        shop.stock_up(
            ground,
            plan.mix.products,
            on_product=lambda done: audience.detail(f"{done} of {plan.mix.products} products"),
        )
        stack.enter_context(shop.provider_latency(ground, plan.psp_latency_ms))
        windows, search = _load(ground, book, plan, audience)
        if plan.pgbench_s > 0:
            after = _pgbench(ground, plan, audience, "after")
        audience.phase("Prove that every cent and every unit is where it should be")
        proof = prove(ground)
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
    ground: Ground, book: OrderBook, plan: Plan, audience: Audience
) -> tuple[list[Measured], Search | None]:
    """The steady window first, then those of the search."""
    # The system may have seen an earlier run, whose keys it remembers.
    run_name = f"bench-{uuid.uuid4().hex[:8]}"
    tokens = shop.buyers(ground, plan.buyers)
    windows: list[Measured] = []

    def load(window: Window, title: str) -> Measured:
        audience.phase(title, window.length_s)
        measured = measure(
            ground,
            book,
            window,
            mix=plan.mix,
            tokens=tokens,
            name=f"{run_name}-{len(windows)}",
            on_drain=lambda left: audience.detail(f"{left} orders under way"),
        )
        windows.append(measured)
        return measured

    steady = load(plan.steady, f"Steady load: {plan.rate_per_s:g} checkouts/s")
    audience.finding(_told(steady))
    if not plan.search or not steady.promises.kept:
        return windows, None
    search = Search(start_per_s=plan.rate_per_s)
    search.record(steady.as_probe())
    while (rate_per_s := search.next_rate()) is not None:
        probe = load(plan.probe(rate_per_s), f"Search: {rate_per_s:g} checkouts/s")
        search.record(probe.as_probe())
        audience.finding(_told(probe))
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


def _pgbench(ground: Ground, plan: Plan, audience: Audience, when: str) -> float:
    audience.phase(f"pgbench TPC-B {when}", plan.pgbench_s)
    tps = pgbench.measure(ground.settings, ground.secrets, duration_s=plan.pgbench_s)
    audience.finding(f"pgbench {when}: {tps:,.0f} transactions/s")
    return tps


def prove(ground: Ground) -> Proof:
    """The verdict of `florin prove` on this system; no verdict is a failure, too."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "florin_cli", "prove", "--json"],
            env=environment(ground.settings),
            cwd=checkout_root(),
            capture_output=True,
            text=True,
            timeout=_PROOF_DEADLINE_S,
            check=False,
        )
        verdict = json.loads(done.stdout)
        return Proof(ok=done.returncode == 0 and bool(verdict["ok"]), checks=verdict["checks"])
    except subprocess.TimeoutExpired:
        return Proof(ok=False, checks=[], detail=f"no verdict within {_PROOF_DEADLINE_S:g} s")
    except (ValueError, KeyError, TypeError):
        # The last line that is more than the edge of a box.
        told = [line for line in done.stderr.splitlines() if any(map(str.isalnum, line))]
        why = told[-1].strip("│ ") if told else "it said nothing"
        return Proof(ok=False, checks=[], detail=f"no verdict: {why}")
