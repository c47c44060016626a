"""`florin bench`: how many checkouts a second this machine completes, and what each costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from bench import plan, progress, run
from bench.carts import Mix
from bench.history import History
from bench.plan import Plan
from bench.progress import Bars
from bench.report import as_json
from bench.system import System, attached_system, fresh_system
from bench.tables import print_report
from runner.settings import MAX_REPLICAS
from runner.state import State
from terminal.errors import EXIT_FAILED
from terminal.output import JsonOption, print_json

app = typer.Typer()


@app.command()
def bench(
    rate_per_s: Annotated[
        float, typer.Option("--rate", min=0.1, help="Checkouts offered per second in the steady window.")
    ] = plan.DEFAULT_RATE_PER_S,
    duration_s: Annotated[
        float, typer.Option("--duration", min=1, help="Seconds of the steady window.")
    ] = plan.DEFAULT_DURATION_S,
    warmup_s: Annotated[
        float, typer.Option("--warmup", min=0, help="Seconds of load before it.")
    ] = plan.DEFAULT_WARMUP_S,
    search: Annotated[
        bool, typer.Option(help="Look for the highest rate at which completion keeps up.")
    ] = True,
    probe_s: Annotated[
        float, typer.Option("--probe", min=3, help="Measured seconds of each step of the search.")
    ] = 15.0,
    products: Annotated[int, typer.Option(min=1, max=10_000, help="Products in the shop.")] = 100,
    hot_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of checkouts that want one and the same product.")
    ] = 0.0,
    declined_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of checkouts whose card is declined.")
    ] = 0.0,
    buyers: Annotated[
        int, typer.Option(min=1, max=10_000, help="Different buyers, each with a token.")
    ] = 200,
    psp_latency_ms: Annotated[
        int, typer.Option(min=0, help="Milliseconds that each call of the payment provider takes longer.")
    ] = 0,
    trace_sample_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of checkouts that are traced.")
    ] = 0.01,
    pgbench_s: Annotated[
        float,
        typer.Option("--pgbench", min=0, help="Seconds of pgbench before, between and after; 0 for none."),
    ] = 10.0,
    replicas: Annotated[
        int, typer.Option(min=1, max=MAX_REPLICAS, help="Replicas of every service of the fresh system.")
    ] = 1,
    overload: Annotated[
        bool,
        typer.Option("--overload", help="At the end, offer 1.5, 2 and 3 times the best rate that was found."),
    ] = False,
    history_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=90,
            help="Days of orders that the fresh system has behind it, made before the load; 0 for none.",
        ),
    ] = 0,
    history_orders: Annotated[
        int, typer.Option(min=1_000, help="How many orders these days had; ten thousand take some seconds.")
    ] = plan.DEFAULT_HISTORY_ORDERS,
    attach: Annotated[
        bool, typer.Option("--attach", help="Load the system that runs, instead of a fresh one.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep data and logs of the fresh system.")] = False,
    as_json_: JsonOption = False,
) -> None:
    """Load the whole system at a fixed rate, audit every promise it made, and print the numbers."""
    if attach and replicas > 1:
        raise typer.BadParameter("a system that runs keeps the replicas it has", param_hint="--replicas")
    if attach and history_days:
        raise typer.BadParameter("a system that runs keeps the orders it has", param_hint="--history-days")
    wanted = Plan(
        mix=Mix(products=products, hot_share=hot_share, declined_share=declined_share),
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        warmup_s=warmup_s,
        search=search,
        probe_s=probe_s,
        pgbench_s=pgbench_s,
        buyers=buyers,
        psp_latency_ms=psp_latency_ms,
        trace_sample_ratio=trace_sample_ratio,
        replicas=replicas,
        overload=overload,
        history=History(days=history_days, orders=history_orders) if history_days else None,
    )
    with progress.bars() as bars, _system(wanted, bars, attach=attach, keep=keep) as system:
        report = run.run(system, wanted, bars)
        bars.phase("Stop the system" if not attach else "Done")
    if as_json_:
        print_json(as_json(report))
    else:
        print_report(report)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _system(wanted: Plan, bars: Bars, *, attach: bool, keep: bool) -> Iterator[System]:
    if attach:
        with attached_system() as running:
            yield running
        return
    bars.phase("Start a fresh system")

    def show_start(state: State) -> None:
        healthy = sum(process.healthy for process in state.processes)
        bars.detail(f"{healthy} of {len(state.processes)} processes healthy")

    with fresh_system(
        trace_sample_ratio=wanted.trace_sample_ratio,
        replicas=wanted.replicas,
        keep=keep,
        on_progress=show_start,
    ) as fresh:
        if keep:
            bars.finding(f"Data and logs stay in {fresh.settings.data_dir}.")
        yield fresh
