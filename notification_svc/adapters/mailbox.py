"""E-mails as files, for development, demo and tests: `<mailbox>/2025-01-31/13-05/dlv_….eml`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from notification_svc.domain.delivery import Answer, Refused, Taken
from notification_svc.domain.message import Mail

# Receipts are personal: only their owner reads them.
_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class Mailbox:
    """Writes each message into a file named after its delivery, so that a second send overwrites the first.

    A folder holds one minute, so that none grows beyond what tools can list. A file is written in one
    call, without a rename and without a flush to the disk, which would cost more than all else about a
    mail: this is a stand-in for a mail server, not the record of what was sent. What a crash leaves half
    written, the next attempt overwrites.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        """Write all messages in one go, in a thread."""
        return await asyncio.to_thread(self._write_all, mails)

    async def close(self) -> None:
        """Do nothing."""

    def path_of(self, mail: Mail) -> Path:
        """Return where a message is; the same for every send of one delivery."""
        return self._folder_of(mail) / f"{mail.id}.eml"

    def _folder_of(self, mail: Mail) -> Path:
        return self._folder / mail.requested_at.astimezone(UTC).strftime("%Y-%m-%d/%H-%M")

    def _write_all(self, mails: Sequence[Mail]) -> list[Answer]:
        answers: list[Answer] = []
        for mail in mails:
            try:
                self._write(mail)
                answers.append(Taken())
            except OSError as error:
                self._made.clear()  # Somebody may have removed the folder under us.
                answers.append(Refused(f"the mailbox cannot be written: {error}", for_good=False))
        return answers

    def _write(self, mail: Mail) -> None:
        folder = self._folder_of(mail)
        if folder not in self._made:
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._made = {folder}
        file = os.open(f"{folder}/{mail.id}.eml", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
        try:
            os.write(file, mail.content)
        finally:
            os.close(file)
