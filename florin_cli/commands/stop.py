"""`florin stop NAME`: one process away for a while, to see what the rest does."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import control
from runner.settings import Settings
from terminal.output import stdout

app = typer.Typer()


@app.command()
def stop(
    name: Annotated[str, typer.Argument(help="A process as `florin status` names it.")],
) -> None:
    """Stop one process and keep it stopped, while the rest runs on."""
    control.keep_stopped(Settings(), name)
    stdout.print(f"{name} is stopped. `florin start {name}` brings it back.")
