"""Journals that callers ask for, gathered with their neighbours into one commit."""

from __future__ import annotations

from collections.abc import Sequence

from kit.values.errors import FlorinError, InvalidRequest
from ledger_svc.application.ports import PostTogether
from ledger_svc.domain.journal import MAX_BATCH_ENTRIES, MAX_JOURNALS, Journal, Posting

Request = Sequence[Journal]


async def post_requests(
    post_together: PostTogether, requests: Sequence[Request]
) -> list[list[Posting] | Exception]:
    """Return the postings of each request, or why it failed as a whole; in order.

    Requests share transactions of at most `MAX_JOURNALS` and `MAX_BATCH_ENTRIES`. Where one of them makes a
    transaction fail, each is posted on its own, so that a neighbour never pays for it.
    """
    outcomes: list[list[Posting] | Exception] = []
    for group in _groups(requests):
        outcomes += await _post_group(post_together, group)
    return outcomes


def _groups(requests: Sequence[Request]) -> list[list[Request]]:
    groups: list[list[Request]] = []
    room, entries_room = 0, 0
    for request in requests:
        entries = sum(len(journal.entries) for journal in request)
        if len(request) > room or entries > entries_room:
            groups.append([])
            room, entries_room = MAX_JOURNALS, MAX_BATCH_ENTRIES
        groups[-1].append(request)
        room -= len(request)
        entries_room -= entries
    return groups


async def _post_group(
    post_together: PostTogether, group: Sequence[Request]
) -> Sequence[list[Posting] | Exception]:
    try:
        postings = await post_together([journal for request in group for journal in request])
    except InvalidRequest as error:
        if len(group) == 1:
            return [error]
        return [outcome for request in group for outcome in await _post_group(post_together, [request])]
    except FlorinError as error:
        return [error] * len(group)
    remaining = iter(postings)
    return [[next(remaining) for _ in request] for request in group]
