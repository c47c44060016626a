"""Journals with their lines, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Final

from ledger_svc.proof import JOURNALS_BEFORE, JOURNALS_BY_ID, LINES, PostedJournal
from proof.audit import BOOKS, Audit, Row

_PAGE: Final = 1_000


async def journals_of(audit: Audit, ids: Sequence[str]) -> list[PostedJournal]:
    """Return the journals with these ids; one that is not there is missing from the answer."""
    return await _with_lines(audit, await audit.rows(BOOKS, JOURNALS_BY_ID, {"ids": ids}) if ids else [])


async def journals_before(audit: Audit, *, since: int, until: int) -> AsyncIterator[list[PostedJournal]]:
    """Page through what transactions in [since, until) have posted, newest first."""
    values = {"since": since, "before": until, "after": "", "page": _PAGE}
    while rows := await audit.rows(BOOKS, JOURNALS_BEFORE, values):
        page = await _with_lines(audit, rows)
        yield page
        values |= {"before": page[-1].txid, "after": page[-1].id}


async def _with_lines(audit: Audit, rows: list[Row]) -> list[PostedJournal]:
    lines: dict[str, dict[str, int]] = defaultdict(dict)
    values = {"ids": [row[0] for row in rows], "txids": sorted({row[4] for row in rows})}
    for journal_id, account, amount in await audit.rows(BOOKS, LINES, values) if rows else []:
        lines[journal_id][account] = amount
    return [PostedJournal(*(*row, lines[row[0]])) for row in rows]
