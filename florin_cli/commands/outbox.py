"""`florin outbox`: events that are on their way."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import typer
from rich.table import Table

from operations import outboxes
from runner.settings import Settings
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@app.command()
def outbox(as_json: JsonOption = False) -> None:
    """Show the events that not all of their consumers have confirmed, by service."""
    waiting = asyncio.run(outboxes.waiting(Settings()))
    if as_json:
        print_json({service: [asdict(each) for each in kinds] for service, kinds in waiting.items()})
        return
    if not any(waiting.values()):
        stdout.print("Every event was confirmed by everyone it is for.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("service")
    table.add_column("event")
    for column in ("waiting", "oldest", "sent"):
        table.add_column(column, justify="right")
    for service, kinds in waiting.items():
        for kind in kinds:
            table.add_row(service, kind.type, str(kind.events), f"{kind.oldest_s:.1f} s", f"{kind.sends} x")
    stdout.print(table)
