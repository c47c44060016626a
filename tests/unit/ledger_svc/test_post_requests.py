"""Requests that share a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from kit.store.reasons import STORE_UNAVAILABLE
from kit.values.errors import InvalidRequest, Unavailable
from kit.values.reasons import FIELD_INVALID
from ledger_svc.application.post_journals import post_requests
from ledger_svc.domain.accounts import AccountCode
from ledger_svc.domain.journal import MAX_JOURNALS, Code, Entry, Journal, JournalId, Posting


def request(*keys: str) -> list[Journal]:
    return [
        Journal(JournalId(f"jrn_{key}"), key, "test", "", datetime(2026, 1, 1, tzinfo=UTC), ())
        for key in keys
    ]


class Desk:
    """Posts anything but journals whose key says that they are bad."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []

    async def post(self, journals: Sequence[Journal]) -> list[Posting]:
        keys = [journal.business_key for journal in journals]
        self.transactions.append(keys)
        if "bad" in keys:
            raise InvalidRequest(FIELD_INVALID, "bad")
        if "down" in keys:
            raise Unavailable(STORE_UNAVAILABLE, "down")
        return [Posting(key, Code.POSTED, f"jrn_{key}") for key in keys]


async def test_requests_are_posted_together_and_answered_apart() -> None:
    desk = Desk()
    outcomes = await post_requests(desk.post, [request("a", "b"), request("c")])
    assert desk.transactions == [["a", "b", "c"]]
    assert [[p.business_key for p in o] for o in outcomes if isinstance(o, list)] == [["a", "b"], ["c"]]


async def test_a_transaction_has_at_most_a_thousand_journals() -> None:
    desk = Desk()
    requests = [request(*(f"{n}-{i}" for i in range(400))) for n in range(5)]
    await post_requests(desk.post, requests)
    assert [len(keys) for keys in desk.transactions] == [800, 800, 400]
    assert max(len(keys) for keys in desk.transactions) <= MAX_JOURNALS


async def test_a_transaction_has_at_most_ten_thousand_entries() -> None:
    desk = Desk()
    entries = tuple([Entry(AccountCode("card:cus_1:EUR"), 1)] * 1_000)
    requests = [
        [replace(journal, entries=entries) for journal in request(f"{n}", f"{n}b")] for n in range(12)
    ]
    await post_requests(desk.post, requests)
    assert [len(keys) for keys in desk.transactions] == [10, 10, 4]


async def test_a_bad_request_fails_alone() -> None:
    desk = Desk()
    good, bad, other = await post_requests(desk.post, [request("a"), request("bad", "b"), request("c")])
    assert isinstance(bad, InvalidRequest)
    assert isinstance(good, list)
    assert isinstance(other, list)


async def test_without_a_store_every_request_hears_of_it() -> None:
    outcomes = await post_requests(Desk().post, [request("a"), request("down")])
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
