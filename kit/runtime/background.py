"""The work that every context does by itself, a line each; a context's own is in its `bootstrap.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from kit.messaging import dead_letters
from kit.messaging.outbox import Outbox
from kit.store import partitions
from kit.store.database import Database
from kit.values.schedule import WHENEVER, Schedule

# Confirmed events are deleted soon, so that the outbox stays as small as what is under way.
FORGET_CONFIRMED: Final = Schedule("outbox.forget", every_s=0.25)

# What is due is sent again; each event has its own time, this is only how soon that is noticed.
RESEND_DUE: Final = Schedule("outbox.resend", every_s=1.0)

# What was owed for a week is put aside; nobody waits for that any more.
PARK_OLD: Final = Schedule("outbox.park", every_s=60.0, within_s=WHENEVER)

# Partitions are made a week ahead, so this may fail for as long.
MAKE_PARTITIONS: Final = Schedule("partitions.make", every_s=600.0, within_s=WHENEVER)

# Old partitions are dropped, and the rows of tables without any deleted, some thousand at a time: often, so
# that what goes at once is about what came since. After a long absence that is much.
LET_GO: Final = Schedule("retention.let_go", every_s=30.0, within_s=WHENEVER)

Every = Callable[[Schedule, Callable[[], Awaitable[object]]], None]


def of_every_context(every: Every, database: Database, outbox: Outbox, kept_days: Mapping[str, int]) -> None:
    """Register what keeps a context's messages moving and its tables small.

    Args:
        kept_days: by table: how long its rows stay.
    """
    every(FORGET_CONFIRMED, outbox.forget_confirmed)
    every(RESEND_DUE, outbox.resend_due)
    every(PARK_OLD, outbox.park_old)
    every(MAKE_PARTITIONS, partial(partitions.make_ahead, database))
    every(LET_GO, partial(_let_go, database, kept_days))


async def _let_go(database: Database, kept_days: Mapping[str, int]) -> None:
    # What the inbox says of a letter is noted there before it may be forgotten.
    await dead_letters.close_handled(database)
    await partitions.let_go(database, kept_days)
