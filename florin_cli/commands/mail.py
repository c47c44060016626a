"""`florin mail`: the e-mails that buyers would have got, from the mailbox folder."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from operations.mailbox import Mail, mails
from runner.settings import Settings
from terminal.errors import CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@app.command()
def mail(
    order_id: Annotated[str, typer.Argument(help="Only what was written about this order, in full.")] = "",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="At most so many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the e-mails in the mailbox."""
    settings = Settings()
    if settings.smtp_url:
        raise CommandError(
            "E-mails go to a mail server, not into the mailbox.",
            way_out="Look there, or unset FLORIN_SMTP_URL and restart.",
        )
    found = list(islice(mails(settings.mailbox, order_id), count))
    if as_json:
        print_json([asdict(each) for each in found])
    elif not found:
        about = f" about {order_id}" if order_id else ""
        stdout.print(f"No e-mail{about} in {settings.mailbox}.")
    elif order_id:
        for each in found:
            _print(each)
    else:
        stdout.print(_table(found))


def _table(found: list[Mail]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("time", "to", "subject"):
        table.add_column(column)
    for each in found:
        table.add_row(each.time, escape(each.to), escape(each.subject))
    return table


def _print(found: Mail) -> None:
    for name, value in (("To", found.to), ("Date", found.time), ("Subject", found.subject)):
        stdout.print(f"[bold]{name}:[/] {escape(value)}", highlight=False)
    stdout.print(f"\n{escape(found.body)}", highlight=False)
