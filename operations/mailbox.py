"""The e-mails that buyers would have got, as they lie in the mailbox folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path


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
