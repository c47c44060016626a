"""What the ledger service does by itself; how often the books are closed is a setting."""

from __future__ import annotations

from kit.values.schedule import Schedule


def close_books(every_s: float) -> Schedule:
    """Return when the books are closed up to the safe horizon."""
    return Schedule("books.close", every_s=every_s)
