"""The e-mails of the demo, as they lie in the mailbox folder."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from email import policy
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Final

from demo.story import Mails

# An e-mail leaves with the order's end; this covers a resend of the event behind it, too.
_DEADLINE_S: Final = 15.0
_LOOK_S: Final = 0.1


async def collect(folder: Path, expected: frozenset[str]) -> Mails:
    """The mailbox once every expected order has its e-mail, or as it is at the deadline."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        mails = await asyncio.to_thread(_read, folder, expected)
        if expected <= mails.by_order.keys() or time.monotonic() > deadline:
            return mails
        await asyncio.sleep(_LOOK_S)


def _read(folder: Path, expected: frozenset[str]) -> Mails:
    found: dict[str, list[str]] = defaultdict(list)
    parser = BytesHeaderParser(policy=policy.default)
    for path in sorted(folder.rglob("*.eml")):
        with path.open("rb") as file:
            headers = parser.parse(file)
        found[str(headers.get("X-Florin-Order", ""))].append(str(path))
    return Mails(str(folder), {order: tuple(paths) for order, paths in found.items()}, expected)
