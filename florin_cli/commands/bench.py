"""`florin bench`: how many checkouts a second this machine completes, and what each costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar

from bench import ground, plan, run
from bench.carts import Mix
from bench.ground import Ground
from bench.plan import Plan
from bench.report import as_json
from bench.tables import print_report
from runner.state import State
from terminal.errors import EXIT_FAILED
from terminal.output import JsonOption, print_json, stderr

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
        float, typer.Option("--pgbench", min=0, help="Seconds of pgbench before and after; 0 for none.")
    ] = 10.0,
    attach: Annotated[
        bool, typer.Option("--attach", help="Load the system that runs, instead of a fresh one.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep data and logs of the fresh system.")] = False,
    as_json_: JsonOption = False,
) -> None:
    """Load the whole system at a fixed rate, audit every promise it made, and print the numbers."""
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
    )
    with _watching() as audience, _ground(wanted, audience, attach=attach, keep=keep) as measured:
        report = run.run(measured, wanted, audience)
        audience.phase("Stop the system" if not attach else "Done")
    if as_json_:
        print_json(as_json(report))
    else:
        print_report(report)
    if not report.ok:
        raise typer.Exit(EXIT_FAILED)


@contextlib.contextmanager
def _ground(wanted: Plan, audience: _Audience, *, attach: bool, keep: bool) -> Iterator[Ground]:
    if attach:
        with ground.attached() as found:
            yield found
        return
    audience.phase("Start a fresh system")

    def progress(state: State) -> None:
        healthy = sum(process.healthy for process in state.processes)
        audience.detail(f"{healthy} of {len(state.processes)} processes healthy")

    with ground.own(trace_sample_ratio=wanted.trace_sample_ratio, keep=keep, on_progress=progress) as fresh:
        if keep:
            audience.finding(f"Data and logs stay in {fresh.settings.data_dir}.")
        yield fresh


class _Audience:
    """Shows a run on the terminal: a bar for the present part, a line for each finding."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, text="")

    def phase(self, title: str, expected_s: float | None = None) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(title, total=expected_s, text="")
        if not self._progress.console.is_terminal:
            self._progress.console.print(title)

    def detail(self, text: str) -> None:
        self._progress.update(self._task, text=text)

    def finding(self, text: str) -> None:
        self._progress.console.print(f"  {text}")


class _TimeBar(ProgressColumn):
    """How much of the expected time has passed; needs nobody to move it."""

    def render(self, task: Task) -> ProgressBar:
        if task.total is None:
            return ProgressBar(total=None, width=30, pulse=True, animation_time=task.get_time())
        return ProgressBar(total=task.total, completed=min(task.elapsed or 0.0, task.total), width=30)


@contextlib.contextmanager
def _watching() -> Iterator[_Audience]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        _TimeBar(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    # Once a second: the benchmark shares the processors with what it measures.
    with Progress(*columns, console=stderr, transient=True, refresh_per_second=1) as progress:
        yield _Audience(progress)
