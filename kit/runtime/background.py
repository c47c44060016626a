"""The work that every context does by itself, a line each; a context's own is in its `bootstrap.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from kit.messaging import inbox
from kit.messaging.outbox import Outbox
from kit.rpc import idempotency
from kit.store.database import Database
from kit.values.schedule import Schedule

# Confirmed events are deleted soon, so that the outbox stays as small as what is under way.
FORGET_CONFIRMED: Final = Schedule("outbox.forget", every_s=0.25)

# What is due is sent again; each event has its own time, this is only how soon that is noticed.
RESEND_DUE: Final = Schedule("outbox.resend", every_s=1.0)

# What was owed for a week is put aside; nobody waits for that any more.
PARK_OLD: Final = Schedule("outbox.park", every_s=60.0)

# Memories of events and keys that are too old to come again, some thousand at a time; after a long absence
# there are many thousands.
PRUNE_INBOX: Final = Schedule("inbox.prune", every_s=10.0, within_s=60.0)
PRUNE_KEYS: Final = Schedule("idempotency_keys.prune", every_s=10.0, within_s=60.0)

Every = Callable[[Schedule, Callable[[], Awaitable[object]]], None]


def of_every_context(every: Every, database: Database, outbox: Outbox) -> None:
    """Register what keeps a context's messages small and moving."""
    every(FORGET_CONFIRMED, outbox.forget_confirmed)
    every(RESEND_DUE, outbox.resend_due)
    every(PARK_OLD, outbox.park_old)
    every(PRUNE_INBOX, partial(inbox.prune, database))
    every(PRUNE_KEYS, partial(idempotency.prune, database))
