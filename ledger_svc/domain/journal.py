"""Journals: what happened, as entries that sum to zero in each currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, NewType

from ledger_svc.domain.accounts import AccountCode

JournalId = NewType("JournalId", str)

# The posting function takes as many at once; see protos/florin/ledger/v1.
MAX_JOURNALS: Final = 1_000
MAX_ENTRIES: Final = 1_000

# Of all journals of one posting: a transaction is sealed as a whole, in a stretch of five times as many.
MAX_BATCH_ENTRIES: Final = 10_000

# Far above any payment, and small enough that nine thousand of them still fit into 64 bits.
MAX_ENTRY_AMOUNT: Final = 10**15


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: minor units on one account, debit negative, credit positive."""

    account: AccountCode
    amount: int


@dataclass(frozen=True, slots=True)
class Journal:
    """One business event in the books.

    Attributes:
        id: `jrn_…`; also chooses the lanes of hot accounts.
        business_key: id of the event that caused it; makes it unique.
        kind: e.g. `payment.captured`.
        reference: what it is about, e.g. `pay_…`.
        effective_at: when it takes effect.
        corrects: the journal this one corrects; empty for most.
    """

    id: JournalId
    business_key: str
    kind: str
    reference: str
    effective_at: datetime
    entries: tuple[Entry, ...]
    order_id: str = ""
    payment_id: str = ""
    corrects: str = ""


class Code(Enum):
    """How a journal was answered; the names are those of `florin.ledger.v1.PostingResult.Code`."""

    POSTED = "POSTED"
    POSTED_BEFORE = "POSTED_BEFORE"
    UNBALANCED = "UNBALANCED"
    EMPTY = "EMPTY"
    ZERO_AMOUNT = "ZERO_AMOUNT"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    CLOSED_ACCOUNT = "CLOSED_ACCOUNT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WRONG_CURRENCY = "WRONG_CURRENCY"


@dataclass(frozen=True, slots=True)
class Posting:
    """What became of a journal; `journal_id` is empty if it was refused."""

    business_key: str
    code: Code
    journal_id: str

    @property
    def is_in_the_books(self) -> bool:
        """Whether the journal is posted, now or earlier."""
        return self.code in (Code.POSTED, Code.POSTED_BEFORE)


class JournalRefused(Exception):
    """The books do not take a journal that one of Florin's own events asks for."""

    def __init__(self, journal: Journal, code: Code) -> None:
        lines = ", ".join(f"{entry.account} {entry.amount:+d}" for entry in journal.entries)
        super().__init__(f"{journal.kind} of {journal.reference} is refused as {code.value}: {lines}")
