"""`florin dlq`: events that a service gave up on, and what a person decides about them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from operations import dead_letters
from operations.dead_letters import Letter
from runner.settings import Settings
from terminal import tables
from terminal.errors import CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(
    name="dlq", help="Look at dead letters, send them again or close them.", no_args_is_help=True
)

LetterId = Annotated[str, typer.Argument(metavar="ID", help="dl_…")]


@app.command("list")
def list_(
    closed_too: Annotated[
        bool, typer.Option("--all", help="Also those that were replayed, discarded or handled after all.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the dead letters of all services."""
    found = asyncio.run(dead_letters.find_all(Settings(), closed_too=closed_too))
    if as_json:
        print_json([each.document() for each in found])
    elif not found:
        stdout.print("There are none.")
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("id", "consumer", "event"):
            table.add_column(column, no_wrap=True)
        # `florin dlq show` has all of it.
        table.add_column("error", no_wrap=True, overflow="ellipsis")
        for each in found:
            error = f"({each.outcome}) {each.error}" if each.outcome else each.error
            table.add_row(each.id, each.consumer, each.type, escape(error))
        stdout.print(table)


@app.command()
def show(letter_id: LetterId, as_json: JsonOption = False) -> None:
    """Show one dead letter with all that is known of it."""
    found = asyncio.run(dead_letters.find(Settings(), letter_id))
    if as_json:
        print_json(found.document())
        return
    stdout.print(
        tables.facts(
            {
                "dead letter": f"[bold]{found.id}[/]",
                "state": found.outcome or "waits for a person",
                "consumer": found.consumer,
                "event": f"{escape(found.type)} {escape(found.event_id)}",
                "belongs to": escape(found.aggregate),
                "attempts": str(found.attempts),
                "buried": found.created_at.isoformat(sep=" ", timespec="seconds"),
                "error": escape(found.error),
                "headers": escape("\n".join(f"{name}: {value}" for name, value in found.headers.items())),
                "payload": found.payload.hex(),
            }
        )
    )


@app.command()
def replay(letter_id: LetterId) -> None:
    """Send the event once more, after its cause was mended; nobody acts on it twice."""
    settings = Settings()
    found = _open_letter(settings, letter_id)
    owner = asyncio.run(dead_letters.replay(settings, found))
    stdout.print(
        f"{owner} sends {found.event_id} to {found.consumer} again, until it has confirmed it."
        " If it fails again, it is back in `florin dlq list`."
    )


@app.command()
def discard(letter_id: LetterId) -> None:
    """Close a dead letter for good: its effect will never happen."""
    settings = Settings()
    found = _open_letter(settings, letter_id)
    asyncio.run(dead_letters.discard(settings, found))
    stdout.print(f"{found.event_id} is discarded for {found.consumer}.")


def _open_letter(settings: Settings, letter_id: str) -> Letter:
    found = asyncio.run(dead_letters.find(settings, letter_id))
    if found.outcome is not None:
        raise CommandError(f"{letter_id} was {found.outcome} already.")
    return found
