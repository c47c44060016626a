"""The e-mails of the demo, as they lie in the mailbox folder."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from demo.results import Mails
from operations.mailbox import mails

# An e-mail leaves with the order's end; this covers a resend of the event behind it, too.
_DEADLINE_S: Final = 15.0
_LOOK_S: Final = 0.1


async def collect(folder: Path, expected: frozenset[str]) -> Mails:
    """The mailbox once every expected order has its e-mail, or as it is at the deadline."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        by_order = await asyncio.to_thread(_files_by_order, folder)
        if expected <= by_order.keys() or time.monotonic() > deadline:
            return Mails(str(folder), by_order, expected)
        await asyncio.sleep(_LOOK_S)


def _files_by_order(folder: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for mail in mails(folder):
        found[mail.order_id].append(mail.path)
    return {order: tuple(paths) for order, paths in found.items()}
