"""Closing the books: seals, snapshots and the check that everything sums to zero."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

# Entries of one stretch: half a second of work for Postgres, well below its statement time-out.
MAX_STRETCH: Final = 50_000

# What a turn may catch up before it lets others have the machine again.
_MAX_STRETCHES: Final = 10

CloseStretch = Callable[[int], Awaitable[int]]
"""Closes at most so many entries in a transaction of its own and returns how many they were."""

# A stretch of an hour is sealed in seconds, so what waits for longer is kept from it: by a transaction that
# somebody has left open, or by closing itself, which fails.
MAX_UNSEALED_S: Final = 60

OpenHalts = Callable[[], Awaitable[list[str]]]
"""Returns the reasons why posting is halted; usually none."""


UnsealedFor = Callable[[], Awaitable[float]]
"""Returns how long the oldest journal without a seal has been waiting; 0 if there is none."""


async def close_books(close_stretch: CloseStretch, unsealed_s: UnsealedFor, open_halts: OpenHalts) -> int:
    """Seal all that is below the safe horizon and return how many entries that were.

    Sequence numbers are no commit order: an entry may become visible after a later one. So nothing counts
    as closed before every transaction that could still add to it has ended.
    """
    started = time.perf_counter()
    sealed = 0
    try:
        for _ in range(_MAX_STRETCHES):
            stretch = await close_stretch(MAX_STRETCH)
            sealed += stretch
            # A stretch ends between two transactions, so a full one may be somewhat shorter.
            if stretch < MAX_STRETCH // 2:
                break
    finally:
        waiting_s = await unsealed_s()
        if waiting_s > MAX_UNSEALED_S:
            log.error("books.not_closed", waiting_s=round(waiting_s))
    for reason in await open_halts():
        log.error("posting.halted", reason=reason)
    if sealed:
        log.info("books.closed", entries=sealed, ms=round((time.perf_counter() - started) * 1000, 1))
    return sealed
