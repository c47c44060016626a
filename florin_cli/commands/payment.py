"""`florin payment`: payments as an operator sees them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from runner.access import clients
from runner.settings import Settings
from terminal import calls, tables
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(name="payment", help="Look at payments, and settle what nobody else decides.")

PaymentId = Annotated[str, typer.Argument(metavar="PAYMENT_ID", help="pay_…")]


class Outcome(StrEnum):
    """How a person may settle a payment."""

    CAPTURED = "captured"
    FAILED = "failed"


@app.command()
def show(
    payment_id: PaymentId,
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


@app.command()
def decide(
    payment_id: PaymentId,
    outcome: Annotated[Outcome, typer.Option("--as", help="How it ended.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")],
    psp_reference: Annotated[
        str, typer.Option(help="What the PSP calls it, if it is captured and we do not know.")
    ] = "",
    against_psp: Annotated[
        bool, typer.Option("--against-psp", help="Decide although the PSP says otherwise.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Settle a payment that nobody else decides.

    The PSP is asked once more before, and if it says otherwise, nothing is decided. Who has decided, why and
    when is kept; what follows is the same as when the PSP says so.
    """

    async def ask() -> None:
        async with clients.ops(Settings()) as edge:
            decided = await edge.decide_payment(
                payment_id,
                outcome=outcome.value.upper(),
                reason=reason,
                psp_reference=psp_reference,
                against_psp=against_psp,
            )
        if as_json:
            print_json(decided.document)
        else:
            stdout.print(tables.payment(decided))

    calls.run(ask())
