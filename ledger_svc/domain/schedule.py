"""What the ledger service does by itself; how often the books are closed is a setting."""

from __future__ import annotations

from kit.values.schedule import Schedule


def close_books(every_s: float) -> Schedule:
    """Return when the books are closed up to the safe horizon; a stretch may hold all of a busy hour."""
    return Schedule("books.close", every_s=every_s, within_s=60.0)
