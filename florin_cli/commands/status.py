"""`florin status`: every process of the system, and whether it does its work."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from runner import state
from runner.settings import Settings
from runner.state import ProcessState, State
from terminal.errors import EXIT_FAILED, EXIT_NOT_RUNNING
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@app.command()
def status(
    as_json: JsonOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 0 only if all of it is healthy.")
    ] = False,
) -> None:
    """Show every process with its health and restarts."""
    settings = Settings()
    found = state.read(settings)
    if found is not None and not found.supervisor_lives:
        found = None
    if as_json:
        print_json(report(settings, found))
    elif found is None:
        stdout.print(f"Not running ({settings.data_dir}). Start it with `florin up`.")
    else:
        stdout.print(_table(found))
        _print_verdict(found)
    if exit_code and (found is None or not found.healthy):
        raise typer.Exit(EXIT_NOT_RUNNING if found is None else EXIT_FAILED)


def report(settings: Settings, found: State | None) -> dict[str, Any]:
    """The answer of `florin status --json`."""
    return {
        "healthy": found is not None and found.healthy,
        "data_dir": str(settings.data_dir),
        "processes": [_process(process) for process in found.processes] if found else [],
    }


def _process(process: ProcessState) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": process.name,
        "pid": process.pid,
        "port": process.port,
        "healthy": process.healthy,
        "restarts": process.restarts,
        "detail": process.detail,
    }
    return told if process.data_dir is None else {**told, "data_dir": process.data_dir}


def _table(found: State) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "pid", "port", "health", "restarts", ""):
        table.add_column(column, justify="right" if column in {"pid", "port"} else "left")
    for process in found.processes:
        health = "[green]healthy[/]" if process.healthy else "[red]not healthy[/]"
        table.add_row(
            process.name,
            str(process.pid or "-"),
            str(process.port or "-"),
            health,
            str(process.restarts),
            escape(process.detail),
        )
    return table


def _print_verdict(found: State) -> None:
    if found.healthy:
        stdout.print("\nAll healthy.")
    else:
        stdout.print(f"\nNot healthy ({found.phase}). `florin logs NAME` shows a process's log.")
