"""Between the messages of `florin.ledger.v1` and journals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from florin.ledger.v1 import ledger_pb2, ledger_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from kit.values.clock import Clock
from kit.values.errors import FieldProblem, InvalidRequest
from kit.values.ids import NewId
from kit.values.reasons import FIELD_INVALID
from ledger_svc.application.ports import Balance
from ledger_svc.domain.accounts import AccountCode
from ledger_svc.domain.journal import (
    MAX_BATCH_ENTRIES,
    MAX_ENTRIES,
    MAX_ENTRY_AMOUNT,
    Entry,
    Journal,
    JournalId,
    Posting,
)

# As the tables have it.
_MAX_KEY_LENGTH: Final = 255
_MAX_KIND_LENGTH: Final = 64


def journals_of(messages: Sequence[ledger_pb2.Journal], new_id: NewId, clock: Clock) -> list[Journal]:
    """Return the journals of a request.

    Raises:
        InvalidRequest: a journal could not even be answered on its own, so none is posted.
    """
    problems = [
        problem for position, message in enumerate(messages) for problem in _problems(position, message)
    ]
    if sum(len(message.entries) for message in messages) > MAX_BATCH_ENTRIES:
        problems.append(FieldProblem("journals", f"must have at most {MAX_BATCH_ENTRIES:,} entries together"))
    if problems:
        text = "; ".join(f"{p.field}: {p.problem}" for p in problems[:5])
        raise InvalidRequest(FIELD_INVALID, text, fields=tuple(problems))
    return [_journal(message, new_id, clock) for message in messages]


def results_message(postings: Sequence[Posting]) -> ledger_service_pb2.PostJournalsResponse:
    """Return the answer of `PostJournals`."""
    return ledger_service_pb2.PostJournalsResponse(
        results=[
            ledger_service_pb2.PostingResult(
                business_key=posting.business_key,
                code=ledger_service_pb2.PostingResult.Code.Value(posting.code.name),
                journal_id=posting.journal_id,
            )
            for posting in postings
        ]
    )


def balance_message(balance: Balance) -> ledger_pb2.Balance:
    """Return a balance as callers see it."""
    return ledger_pb2.Balance(
        account=balance.account,
        currency=balance.currency,
        posted=balance.posted,
        entry_count=balance.entry_count,
    )


def _problems(position: int, message: ledger_pb2.Journal) -> Iterator[FieldProblem]:
    at = f"journals[{position}]"
    if message.id:
        yield FieldProblem(f"{at}.id", "is given by the ledger; leave it empty")
    if not 1 <= len(message.business_key) <= _MAX_KEY_LENGTH:
        yield FieldProblem(f"{at}.business_key", f"must have 1 to {_MAX_KEY_LENGTH} characters")
    if not 1 <= len(message.kind) <= _MAX_KIND_LENGTH:
        yield FieldProblem(f"{at}.kind", f"must have 1 to {_MAX_KIND_LENGTH} characters")
    if len(message.reference) > _MAX_KEY_LENGTH:
        yield FieldProblem(f"{at}.reference", f"must have at most {_MAX_KEY_LENGTH} characters")
    if len(message.entries) > MAX_ENTRIES:
        yield FieldProblem(f"{at}.entries", f"must be at most {MAX_ENTRIES:,}")
    if any(abs(entry.amount) > MAX_ENTRY_AMOUNT for entry in message.entries):
        yield FieldProblem(f"{at}.entries", f"amounts must be within ±{MAX_ENTRY_AMOUNT:,}")
    if message.HasField("effective_time") and _instant(message.effective_time) is None:
        yield FieldProblem(f"{at}.effective_time", "must be between the years 1 and 9999")


def _journal(message: ledger_pb2.Journal, new_id: NewId, clock: Clock) -> Journal:
    instant = _instant(message.effective_time) if message.HasField("effective_time") else None
    return Journal(
        id=JournalId(new_id("jrn")),
        business_key=message.business_key,
        kind=message.kind,
        reference=message.reference,
        effective_at=instant or clock(),
        entries=tuple(Entry(AccountCode(entry.account), entry.amount) for entry in message.entries),
        corrects=message.corrects,
    )


def _instant(timestamp: Timestamp) -> datetime | None:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None
