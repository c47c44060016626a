"""`florin mail`: the e-mails that buyers would have got, from the mailbox folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from runner.settings import Settings
from terminal.errors import CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as its reader sees it."""

    id: str
    order_id: str
    time: str
    to: str
    subject: str
    body: str
    path: str


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


def mails(mailbox: Path, order_id: str = "") -> Iterator[Mail]:
    """The messages in a mailbox, newest first; all, or those about one order."""
    # Folders are named after days and minutes, files after ids that sort by time.
    for folder in sorted(mailbox.glob("*/*"), reverse=True):
        for path in sorted(folder.glob("*.eml"), reverse=True):
            message = _read(path)
            if message is not None and order_id in {"", message.order_id}:
                yield message


def _read(path: Path) -> Mail | None:
    """The message in a file; None if somebody deleted it meanwhile."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    message = BytesParser(policy=policy.default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return Mail(
        id=path.stem,
        order_id=str(message["X-Florin-Order"] or ""),
        time=message["Date"].datetime.isoformat() if message["Date"] else "",
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        body=message.get_content().replace("\r\n", "\n"),
        path=str(path),
    )


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
