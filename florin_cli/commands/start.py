"""`florin start NAME`: the end of a `florin stop NAME`."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import control
from runner.settings import Settings
from terminal.output import stdout

app = typer.Typer()


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="A process as `florin status` names it.")],
) -> None:
    """Start a process again that was stopped by `florin stop`."""
    control.start_again(Settings(), name)
    stdout.print(f"{name} is healthy again.")
