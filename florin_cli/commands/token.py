"""`florin token`: who you are, in a form that the edge believes."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.access import tokens
from runner.settings import Settings

app = typer.Typer()


@app.command()
def token(
    role: Annotated[tokens.Role, typer.Option(help="What the caller may do.")],
    subject: Annotated[str, typer.Option(help="Who the caller is: a customer's or user's id.")],
    merchant: Annotated[
        str | None, typer.Option(help="The merchant acted for: mer_…; merchants need one.")
    ] = None,
    ttl_s: Annotated[
        int, typer.Option("--ttl", min=1, help="Valid for so many seconds.")
    ] = tokens.DEFAULT_TTL_S,
) -> None:
    """Print a JWT that the edge accepts: `authorization: Bearer $(florin token …)`."""
    print(tokens.mint(Settings(), role=role, subject=subject, merchant_id=merchant, ttl_s=ttl_s))
