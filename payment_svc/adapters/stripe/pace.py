"""Lets calls through evenly, so many a second."""

from __future__ import annotations

import asyncio


class Pace:
    """Makes callers wait for their turn.

    Args:
        per_s: how many go on each second.
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1.0 / per_s
        self._next = 0.0

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._gap_s
        await asyncio.sleep(turn - now)
