"""`florin reset`: forgets a system's data."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import control
from runner.settings import Settings
from terminal.errors import CommandError
from terminal.output import stdout

app = typer.Typer()


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Stop the system and delete its data: every order, payment, journal and key."""
    settings = Settings()
    if not yes and not typer.confirm(f"Delete everything in {settings.data_dir}?"):
        raise CommandError("Nothing was deleted.")
    control.reset(settings)
    stdout.print(f"{settings.data_dir} is gone. `florin up` begins anew.")
