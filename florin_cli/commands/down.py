"""`florin down`: stops a system."""

from __future__ import annotations

import typer

from florin_cli.output import stdout
from florin_cli.runner import control
from florin_cli.runner.settings import Settings

app = typer.Typer()


@app.command()
def down() -> None:
    """Stop all of the system and keep its data."""
    stopped = control.stop(Settings())
    stdout.print("Stopped. The data is kept." if stopped else "Nothing was running.")
