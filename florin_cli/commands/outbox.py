"""`florin outbox`: events that are on their way, and those that were parked."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from operations import outboxes
from roster import ROSTER
from runner.settings import Settings
from terminal.errors import CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(
    name="outbox",
    help="Look at events that are on their way, send parked ones again, drop what nobody wants any more.",
    no_args_is_help=True,
)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show the events that not all of their consumers have confirmed, by service."""
    waiting = asyncio.run(outboxes.waiting(Settings()))
    if as_json:
        print_json(
            {
                service: [{**asdict(each), "gone": each.gone} for each in kinds]
                for service, kinds in waiting.items()
            }
        )
        return
    if not any(waiting.values()):
        stdout.print("Every event was confirmed by everyone it is for.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("service", "event", "for"):
        table.add_column(column)
    for column in ("waiting", "oldest", "sent", "parked"):
        table.add_column(column, justify="right")
    for service, kinds in waiting.items():
        for kind in kinds:
            table.add_row(
                service,
                kind.type,
                f"{kind.consumer} (gone)" if kind.gone else kind.consumer or "all",
                str(kind.events),
                f"{kind.oldest_s:.1f} s",
                f"{kind.sends} x",
                str(kind.parked),
            )
    stdout.print(table)


@app.command()
def resend(
    consumer: Annotated[str, typer.Argument(help="Package of the context that did not confirm them.")],
    forgotten_too: Annotated[
        bool,
        typer.Option(
            "--forgotten",
            help="Also what is older than its inbox: what it did act on it acts on again.",
        ),
    ] = False,
) -> None:
    """Send again what was parked for a consumer because it had not confirmed it for a week."""
    if consumer not in ROSTER.packages:
        raise CommandError(f"There is no {consumer}.", way_out=f"One of: {', '.join(ROSTER.packages)}.")
    told = asyncio.run(outboxes.send_parked(Settings(), consumer, forgotten_too=forgotten_too))
    stdout.print(f"{told.sent} parked events are sent to {consumer} again, oldest first.")
    if told.done:
        stdout.print(f"{told.done} it had acted on already; they are owed to it no more.")
    if told.forgotten:
        raise CommandError(
            f"{told.forgotten} stay parked: {consumer} may have acted on them and forgotten that.",
            way_out=f"If it has not, or is safe to, `florin outbox resend {consumer} --forgotten` sends them."
            " An inbox forgets while its service runs: after a long absence resend before you start it.",
        )


@app.command()
def drop(
    consumer: Annotated[str, typer.Argument(help="Package of the context, which may be there no more.")],
) -> None:
    """Drop what waits for a consumer that does not act on it any more, or is not there any more."""
    events = asyncio.run(outboxes.drop_unwanted(Settings(), consumer))
    stdout.print(f"{events} events are owed to {consumer} no more. What it still acts on was left.")
