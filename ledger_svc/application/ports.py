"""What the use cases need from the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.values.ids import NewId
from ledger_svc.domain.journal import Journal, Posting


@dataclass(frozen=True, slots=True)
class Balance:
    """What stands on an account, its lanes summed.

    Attributes:
        posted: sum of the entries; credit positive.
    """

    account: str
    currency: str
    posted: int
    entry_count: int


class Books(Protocol):
    """The books inside a step."""

    async def post(self, journals: Sequence[Journal]) -> list[Posting]:
        """Post at most `MAX_JOURNALS` and return what became of each, in order."""


PostTogether = Callable[[Sequence[Journal]], Awaitable[list[Posting]]]
"""Posts journals in a transaction of their own.

Raises `InvalidRequest`, having posted none, if one of them cannot even be judged; `Unavailable`.
"""

ReadBalance = Callable[[str], Awaitable[Balance | None]]
"""Returns the balance of an account by its code; None if nothing was ever posted to it."""


class Ledger(Protocol):
    """The books outside of a step; each call is a transaction of its own."""

    async def post_together(self, journals: Sequence[Journal]) -> list[Posting]:
        """Post journals in one transaction; see `PostTogether`."""

    async def balance(self, account: str) -> Balance | None:
        """Return what stands on an account; see `ReadBalance`."""

    async def close_stretch(self, max_entries: int) -> int:
        """Close at most so many entries and return how many they were."""

    async def unsealed_s(self) -> float:
        """Return how long the oldest journal without a seal has been waiting; 0 if there is none."""

    async def open_halts(self) -> list[str]:
        """Return why posting is halted; usually nothing."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a use case is given for one step."""

    books: Books
    new_id: NewId
