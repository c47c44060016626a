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


@dataclass(frozen=True, slots=True)
class Scope:
    """What a use case is given for one step."""

    books: Books
    new_id: NewId
