"""`florin payment`: payments as an operator sees them."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.access import clients
from runner.settings import Settings
from terminal import calls, tables
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(name="payment", help="Look at payments.")


@app.callback()
def payment() -> None:
    """Look at payments."""


@app.command()
def show(
    payment_id: Annotated[str, typer.Argument(metavar="PAYMENT_ID", help="pay_…")],
    as_json: JsonOption = False,
) -> None:
    """Show one payment."""

    async def ask() -> None:
        async with clients.ops(Settings()) as edge:
            found = await edge.get_payment(payment_id)
        if as_json:
            print_json(found.document)
        else:
            stdout.print(tables.payment(found))

    calls.run(ask())
