"""The result of `florin bench`, for people."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.markup import escape
from rich.table import Table

from bench import cpu
from bench.measure import Measured
from bench.overload import Overload
from bench.percentiles import Percentiles
from bench.report import Report
from bench.search import Search
from terminal.output import stdout

# Unattributed kernel work is below this; a compiler or another test run is above it.
_QUIET_MACHINE: Final = 0.1


def print_report(report: Report) -> None:
    """Prints the numbers, what each checkout cost, the search, and the audit beside them."""
    steady = report.steady
    stdout.print()
    stdout.print(_steady(report, steady))
    _print_machine(report)
    stdout.print()
    stdout.print(_costs(report))
    if report.search is not None:
        stdout.print()
        stdout.print(_search(report, report.search))
    if report.overloads:
        stdout.print()
        stdout.print(_overload(report.overloads))
    stdout.print()
    _print_audit(report)


def _steady(report: Report, steady: Measured) -> Table:
    window = steady.window
    table = _table(
        f"Steady: {steady.completed_per_s:g} checkouts/s completed"
        f" of {window.rate_per_s:g}/s offered for {window.measure_s:g} s"
    )
    table.add_column("latency, ms")
    for column in ("p50", "p95", "p99"):
        table.add_column(column, justify="right")
    table.add_row("accept, from when it was due", *_three(steady.accept_ms))
    table.add_row("  of it, load generator late", *_three(steady.send_delay_ms))
    table.add_row("completion, by database time", *_three(steady.completion_ms))
    table.add_row(f"  as {steady.watched} buyers saw it, from due", *_three(steady.watched_ms))
    return table


def _print_machine(report: Report) -> None:
    times = report.steady.cpu
    stdout.print(
        f"Machine busy: {times.busy_share:.0%}, of which with other things: {times.others_share:.0%}"
    )
    if times.others_share > _QUIET_MACHINE:
        stdout.print("[yellow]Other programs took part of the machine; alone, the numbers are better.[/]")
    for speed in report.speeds:
        stdout.print(f"The machine by itself, {speed.when}: {speed}")
    if ratio := report.ratio_to_pgbench(report.steady.completed_per_s):
        stdout.print(f"Checkouts for each transaction of pgbench: {ratio:.3f}")
    stdout.print(escape(str(report.interpreter)))
    if not report.interpreter.is_fast:
        stdout.print("[yellow]A Python with PGO and LTO would take 5 to 10 % less in our processes.[/]")


def _costs(report: Report) -> Table:
    table = _table("CPU per completed checkout")
    table.add_column("part")
    for column in ("ms here", "loops of this machine", "ms of the bare prototype"):
        table.add_column(column, justify="right")
    for line in report.budget:
        table.add_row(line.part, f"{line.ms:.2f}", _or_dash(line.loops), _or_dash(line.prototype_ms))
    whole = report.total
    table.add_row(
        "[bold]total[/]",
        f"[bold]{whole.ms:.2f}[/]",
        f"[bold]{_or_dash(whole.loops)}[/]",
        _or_dash(whole.prototype_ms),
        end_section=True,
    )
    generator_ms = report.steady.cpu_ms_per_checkout.get(cpu.LOAD_GENERATOR, 0.0)
    table.add_row("[dim]load generator[/]", f"[dim]{generator_ms:.2f}[/]", "", "")
    return table


def _overload(overloads: list[Overload]) -> Table:
    table = _table("Overload: more than the best rate, answers from when they were due, ms")
    columns = ("times", "offered/s", "completed/s", "of the best", "accept p50", "p99", "refused", "p99")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column("why")
    for each in overloads:
        table.add_row(
            f"{each.times:g}",
            f"{each.offered_per_s:g}",
            f"{each.completed_per_s:g}",
            f"{each.goodput_share:.0%}",
            _or_dash(each.accept_ms.p50, 0),
            _or_dash(each.accept_ms.p99, 0),
            f"{each.refused:,}",
            _or_dash(each.refusal_ms.p99, 0),
            _counts(each.reasons) or "-",
        )
    return table


def _search(report: Report, search: Search) -> Table:
    best = search.best
    if best is None:
        title = "Search: no rate found that the system keeps up with"
    else:
        ratio = report.ratio_to_pgbench(best.completed_per_s)
        beside = f", {ratio:.3f} of pgbench" if ratio else ""
        title = f"Search: keeps up with {best.rate_per_s:g}/s ({best.completed_per_s:g} completed/s{beside})"
    table = _table(title)
    for column in ("offered", "completed", "refused", "accept p99", "done p99", "open orders"):
        table.add_column(column, justify="right")
    table.add_column("keeps up")
    for probe in search.probes:
        table.add_row(
            f"{probe.rate_per_s:g}",
            f"{probe.completed_per_s:g}",
            f"{probe.refused:,}",
            _or_dash(probe.accept_p99_ms, 0),
            _or_dash(probe.completion_p99_ms, 0),
            f"{probe.open_before:.0f} → {probe.open_at_end:.0f}",
            "[green]yes[/]" if probe.keeps_up else "[yellow]no[/]",
        )
    return table


def _print_audit(report: Report) -> None:
    accepted = sum(window.promises.accepted for window in report.windows)
    outcomes: dict[str, int] = {}
    refused: dict[str, int] = {}
    for window in report.windows:
        for outcome, count in window.promises.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
        for status, count in window.refused.items():
            refused[status] = refused.get(status, 0) + count
    stdout.print(f"[bold]Audit[/] of {accepted:,} orders that were answered 202: {_counts(outcomes)}")
    stdout.print(f"Other answers: {_counts(refused) or 'none'}")
    for check in report.proof.checks if report.proof else ():
        mark = "[green]✓[/]" if check.ok else "[red]✗[/]"
        stdout.print(f"{mark} {escape(check.name)}: {escape(check.detail)}")
    for failure in report.failures:
        stdout.print(f"[bold red]✗ {escape(failure)}[/]")
    if report.ok:
        stdout.print("[bold green]Every promise was kept, and the books balance.[/]")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _three(percentiles: Percentiles) -> tuple[str, str, str]:
    return _or_dash(percentiles.p50, 1), _or_dash(percentiles.p95, 1), _or_dash(percentiles.p99, 1)


def _or_dash(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {escape(what)}" for what, count in counts.items())
