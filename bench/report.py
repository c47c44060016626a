"""The result of a run, for programs: the contract's keys and some more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench import budget, cpu, machine
from bench.budget import BudgetLine
from bench.machine import Speed
from bench.measure import Measured
from bench.overload import Overload
from bench.plan import Plan
from bench.search import Probe, Search
from proof import Proof
from runner.interpreter import Interpreter

# The proof replays every balance; a run of an hour has a lot of them.
PROOF_DEADLINE_S: Final = 600.0

_NO_VERDICT: Final = f"no verdict within {PROOF_DEADLINE_S:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run."""

    plan: Plan
    steady: Measured
    # Every window, the steady one and those of the search: promises are kept in all of them.
    windows: list[Measured]
    search: Search | None
    # Windows above the best rate, if they were wanted.
    overloads: list[Overload]
    interpreter: Interpreter
    # The machine before, perhaps between, and after the load.
    speeds: list[Speed]
    # What `florin prove` said after the last window; None if it came to no verdict.
    proof: Proof | None
    # The same of what the system had behind it before the load; None if that was nothing.
    proof_of_history: Proof | None = None

    @property
    def proof_ok(self) -> bool:
        """Whether the books balance; no verdict is a failure, too."""
        return self.proof is not None and self.proof.ok

    @property
    def ok(self) -> bool:
        """Whether every promise was kept and the books balance."""
        return self.proof_ok and not self.failures

    @property
    def failures(self) -> list[str]:
        """What must not be, in a sentence each."""
        found = []
        lost = sum(len(window.promises.lost) for window in self.windows)
        still_open = sum(len(window.promises.still_open) for window in self.windows)
        if lost:
            found.append(f"{lost} orders that were answered 202 are not in the database.")
        if still_open:
            found.append(f"{still_open} orders that were answered 202 have not ended.")
        if not self.steady.completed:
            found.append("No checkout was completed in the steady window.")
        if not self.proof_ok:
            failed = [check.name for check in self.proof.checks if not check.ok] if self.proof else []
            found.append(f"The proof failed: {', '.join(failed) or _NO_VERDICT}.")
        return found

    @property
    def pgbench_tps(self) -> float | None:
        """What pgbench did, on average over the run."""
        return machine.mean(speed.pgbench_tps for speed in self.speeds)

    @property
    def loop_ms(self) -> float | None:
        """CPU of one loop of this machine, on average over the run."""
        return machine.mean(speed.loop_ms for speed in self.speeds)

    @property
    def budget(self) -> list[BudgetLine]:
        """CPU of a checkout, part by part."""
        return budget.beside_prototype(self.steady.cpu_ms_per_checkout, loop_ms=self.loop_ms)

    @property
    def total(self) -> BudgetLine:
        """CPU of a checkout."""
        return budget.total(self.budget, loop_ms=self.loop_ms)

    def ratio_to_pgbench(self, completed_per_s: float) -> float | None:
        """Checkouts completed for each transaction that pgbench gets done on this machine."""
        return round(completed_per_s / self.pgbench_tps, 4) if self.pgbench_tps else None


def as_json(report: Report) -> dict[str, Any]:
    """What `florin bench --json` prints."""
    steady = report.steady
    by_process = steady.cpu_ms_per_checkout
    tps = report.pgbench_tps
    return {
        "completed_per_s": steady.completed_per_s,
        "accept_ms": asdict(steady.accept_ms),
        "completion_ms": asdict(steady.completion_ms),
        "cpu_ms_per_checkout": by_process,
        "pgbench_tps": None if tps is None else round(tps, 1),
        "ratio_to_pgbench": report.ratio_to_pgbench(steady.completed_per_s),
        "duration_s": steady.window.measure_s,
        "orders": sum(window.promises.accepted for window in report.windows),
        "proof_ok": report.proof_ok,
        "ok": report.ok,
        "failures": report.failures,
        "offered_per_s": steady.window.rate_per_s,
        "refused": steady.refused,
        "refusals": {"reasons": steady.reasons, "ms": asdict(steady.refusal_ms)},
        "outcomes": _outcomes(report.windows),
        "lost": [order_id for window in report.windows for order_id in window.promises.lost],
        "still_open": [order_id for window in report.windows for order_id in window.promises.still_open],
        "drain_s": steady.drain_s,
        "watched_ms": asdict(steady.watched_ms) | {"count": steady.watched},
        "send_delay_ms": asdict(steady.send_delay_ms),
        "cpu_ms_per_checkout_total": {
            "system": report.total.ms,
            "load_generator": by_process.get(cpu.LOAD_GENERATOR),
            "prototype": report.total.prototype_ms,
        },
        "loops_per_checkout": report.total.loops,
        "cpu_budget": [asdict(line) for line in report.budget],
        "machine_busy_share": round(steady.cpu.busy_share, 3),
        "others_share": round(steady.cpu.others_share, 3),
        "machine": [asdict(speed) for speed in report.speeds],
        "loop_ms": report.loop_ms,
        "python": asdict(report.interpreter),
        "search": None if report.search is None else _search(report, report.search),
        "overload": [asdict(each) for each in report.overloads],
        "plan": asdict(report.plan),
        "proof": proof_as_json(report.proof),
        "proof_of_history": (
            None if report.proof_of_history is None else proof_as_json(report.proof_of_history)
        ),
    }


def _search(report: Report, search: Search) -> dict[str, Any]:
    best = search.best
    return {
        "highest_rate_per_s": search.highest_good_per_s,
        "completed_per_s": None if best is None else best.completed_per_s,
        "ratio_to_pgbench": None if best is None else report.ratio_to_pgbench(best.completed_per_s),
        "probes": [_probe(probe) for probe in search.probes],
    }


def _probe(probe: Probe) -> dict[str, Any]:
    told = {
        name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(probe).items()
    }
    return told | {"keeps_up": probe.keeps_up, "objections": probe.objections()}


def proof_as_json(proof: Proof | None) -> dict[str, Any]:
    """What the proof said, or that it came to no verdict."""
    if proof is None:
        return {"ok": False, "checks": [], "detail": _NO_VERDICT}
    return proof.as_json() | {"detail": ""}


def _outcomes(windows: list[Measured]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for window in windows:
        for outcome, count in window.promises.outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + count
    return counts
