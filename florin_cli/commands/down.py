"""`florin down`: stops a system."""

from __future__ import annotations

import typer

from runner import control
from runner.settings import Settings
from terminal.output import stdout

app = typer.Typer()


@app.command()
def down() -> None:
    """Stop all of the system and keep its data."""
    stopped = control.stop(Settings())
    stdout.print("Stopped. The data is kept." if stopped else "Nothing was running.")
