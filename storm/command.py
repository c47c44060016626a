"""`florin storm`: load, faults by a seed, and the proof."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from bench import progress
from bench.carts import Mix
from bench.system import fresh_system
from runner.settings import MAX_REPLICAS
from runner.state import State
from storm import run
from storm.plan import Plan
from storm.report import as_json, print_report
from storm.schedule import Fault
from terminal.errors import EXIT_FAILED
from terminal.output import JsonOption, print_json

app = typer.Typer()

# Some hundred thousand storms are enough to choose from, and short enough to be read aloud.
_SEEDS = 1_000_000


@app.command()
def storm(
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed, the same faults at the same times.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the storm.")] = 2.0,
    rate_per_s: Annotated[
        float, typer.Option("--rate", min=0.1, help="Checkouts offered per second.")
    ] = 50.0,
    every_s: Annotated[
        float,
        typer.Option("--every", min=0.5, help="Seconds from one kill to the next; other faults are rarer."),
    ] = 5.0,
    replicas: Annotated[int, typer.Option(min=1, max=MAX_REPLICAS, help="Replicas of every service.")] = 2,
    faults: Annotated[
        list[Fault] | None, typer.Option("--fault", help="Only these; can be given more than once.")
    ] = None,
    declined_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of checkouts whose card is declined.")
    ] = 0.1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep data and logs of the system.")] = False,
    as_json_: JsonOption = False,
) -> None:
    """Hurt a fresh system while it works, and prove that nothing was lost."""
    plan = Plan(
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        storm_s=minutes * 60,
        every_s=every_s,
        rate_per_s=rate_per_s,
        replicas=replicas,
        faults=tuple(faults or (Fault.KILL, Fault.SCALE)),
        mix=Mix(products=100, declined_share=declined_share),
    )
    with progress.bars() as bars:
        bars.phase("Start a fresh system")

        def show_start(state: State) -> None:
            healthy = sum(process.healthy for process in state.processes)
            bars.detail(f"{healthy} of {len(state.processes)} processes healthy")

        with fresh_system(
            trace_sample_ratio=0.01, replicas=replicas, keep=keep, on_progress=show_start
        ) as system:
            if keep:
                bars.finding(f"Data and logs stay in {system.settings.data_dir}.")
            report = run.run(system, plan, bars)
            bars.phase("Stop the system")
    if as_json_:
        print_json(as_json(report))
    else:
        print_report(report)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)
