"""`florin restart [PROCESS …]`: fresh processes in place of those that run, one replica at a time."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import scaling
from runner.settings import Settings
from terminal.output import JsonOption, print_json, stderr, stdout

app = typer.Typer()


@app.command()
def restart(
    processes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROCESS ...]", help="Which; all that have replicas if none is named."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restart services replica by replica, so that none of their callers notices."""
    restarted = scaling.restart(
        Settings(), processes or [], on_progress=lambda name: stderr.print(f"restarting {name} ...")
    )
    if as_json:
        print_json({"restarted": restarted})
    else:
        stdout.print(f"Restarted: {', '.join(restarted)}.")
