"""`florin stop NAME`: one process away for a while, to see what the rest does."""

from __future__ import annotations

from typing import Annotated

import typer

from florin_cli.output import stdout
from florin_cli.runner import control
from florin_cli.runner.settings import Settings

app = typer.Typer()


@app.command()
def stop(
    name: Annotated[str, typer.Argument(help="A process as `florin status` names it.")],
) -> None:
    """Stop one process and keep it stopped, while the rest runs on."""
    control.hold(Settings(), name)
    stdout.print(f"{name} is stopped. `florin start {name}` brings it back.")
