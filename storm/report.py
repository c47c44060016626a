"""The result of a storm, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.markup import escape

from bench.measure import Measured
from bench.report import proof_as_json
from proof import Proof
from storm.plan import Plan
from terminal.output import stdout

# Answers that a good client meets by sending the same request again under the same key.
_SAFE_TO_REPEAT: Final = ("429", "500", "502", "503", "504", "no answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One storm.

    Attributes:
        struck: how often each fault has done something.
        missed: how often one could not.
        repeated: checkouts that were accepted when they were sent again under their keys.
        never_accepted: those that were not then either, by their last answer.
        repeated_open: orders of `repeated` that have not ended.
    """

    plan: Plan
    load: Measured
    struck: Mapping[str, int]
    missed: Mapping[str, int]
    repeated: int
    never_accepted: Mapping[str, int]
    repeated_open: list[str]
    proof: Proof

    @property
    def ok(self) -> bool:
        """Whether every promise was kept and the books balance."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """What must not be, in a sentence each."""
        found = []
        promises = self.load.promises
        if promises.lost:
            found.append(f"{len(promises.lost)} orders that were answered 202 are not in the database.")
        if still_open := [*promises.still_open, *self.repeated_open]:
            found.append(f"{len(still_open)} orders that were answered 202 have not ended.")
        if wrong := sorted(set(self.load.refused) - set(_SAFE_TO_REPEAT)):
            found.append(f"Some checkouts were answered {', '.join(wrong)}: nobody would repeat them.")
        if self.never_accepted:
            found.append(
                f"{sum(self.never_accepted.values())} checkouts were refused when all was well again."
            )
        if silent := [fault for fault in self.plan.faults if not self.struck.get(fault)]:
            found.append(f"Nothing came of {', '.join(silent)}.")
        if not self.proof.ok:
            failed = [check.name for check in self.proof.checks if not check.ok]
            found.append(f"The proof failed: {', '.join(failed)}.")
        return found


def as_json(report: Report) -> dict[str, Any]:
    """What `florin storm --json` prints."""
    load = report.load
    return {
        "ok": report.ok,
        "failures": report.failures,
        "seed": report.plan.seed,
        "plan": asdict(report.plan),
        "struck": dict(report.struck),
        "missed": dict(report.missed),
        "offered": load.offered,
        "accepted": load.promises.accepted,
        "refused": load.refused,
        "reasons": load.reasons,
        "refused_share": refused_share(load),
        "repeated": report.repeated,
        "never_accepted": dict(report.never_accepted),
        "outcomes": load.promises.outcomes,
        "lost": load.promises.lost,
        "still_open": [*load.promises.still_open, *report.repeated_open],
        "accept_ms": asdict(load.accept_ms),
        "end_ms": asdict(load.end_ms),
        "proof": proof_as_json(report.proof),
    }


def refused_share(load: Measured) -> float:
    """How many of the checkouts were not answered 202 the first time."""
    return round(sum(load.refused.values()) / load.offered, 5) if load.offered else 0.0


def print_report(report: Report) -> None:
    """Prints what was done, what became of the load, and the verdict."""
    load = report.load
    stdout.print(f"[bold]Storm {report.plan.seed}[/]: {_counts(report.struck) or 'nothing struck'}")
    if report.missed:
        stdout.print(f"Could not be done: {_counts(report.missed)}")
    stdout.print(
        f"{load.offered:,} checkouts offered, {load.promises.accepted:,} accepted at once;"
        f" {refused_share(load):.2%} not: {_counts(load.reasons) or 'none'}"
    )
    if load.turned_away:
        stdout.print(f"Sent again under their keys: {report.repeated:,} accepted")
    stdout.print(f"Orders: {_counts(load.promises.outcomes)}")
    for what, times in (("202 after", load.accept_ms), ("ended after", load.end_ms)):
        if times.longest is not None:
            stdout.print(
                f"{what}, ms: p50 {times.p50:,.0f}, p95 {times.p95:,.0f}, p99 {times.p99:,.0f},"
                f" the longest {times.longest:,.0f}"
            )
    for check in report.proof.checks:
        mark = "[green]✓[/]" if check.ok else "[red]✗[/]"
        stdout.print(f"{mark} {escape(check.name)}: {escape(check.detail)}")
    for failure in report.failures:
        stdout.print(f"[bold red]✗ {escape(failure)}[/]")
    if report.ok:
        stdout.print("[bold green]Every promise was kept, and the books balance.[/]")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {escape(what)}" for what, count in counts.items())
