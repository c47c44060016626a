"""Snapshots, seals and the sum, while others post."""

from __future__ import annotations

import asyncio
import random

import psycopg
from structlog.testing import capture_logs

from ledger_svc.domain.journal import Code
from ledger_svc.proof import UNSEALED
from tests.integration.ledger_svc.books import Ledger, transfer

SHOP = "merchant:mer_1:EUR"

# Snapshot + delta against a full replay, for every account.
REPLAY = """
SELECT accounts.code FROM accounts
LEFT JOIN LATERAL (
    SELECT * FROM snapshots WHERE account_id = accounts.id ORDER BY horizon DESC LIMIT 1
) AS last ON true
JOIN LATERAL (
    SELECT sum(amount) AS total, count(*) AS number,
        coalesce(sum(amount) FILTER (WHERE txid >= coalesce(last.horizon, '0')), 0) AS delta,
        count(*) FILTER (WHERE txid >= coalesce(last.horizon, '0')) AS delta_number
    FROM entries WHERE account_id = accounts.id
) AS replay ON true
WHERE coalesce(last.posted, 0) + delta <> total OR coalesce(last.entry_count, 0) + delta_number <> number
"""


async def test_snapshot_and_delta_equal_the_replay_under_concurrent_posting(ledger: Ledger) -> None:
    posters, batches, size = 4, 12, 60
    done = asyncio.Event()

    async def post() -> None:
        for _ in range(batches):
            codes = await ledger.codes(
                *(transfer(f"card:cus_{random.randrange(5)}:EUR", SHOP, 1 + n) for n in range(size))
            )
            assert set(codes) == {Code.POSTED}

    async def close() -> None:
        while not done.is_set():
            await ledger.close()
            await asyncio.sleep(0)

    closing = asyncio.create_task(close())
    await asyncio.gather(*(post() for _ in range(posters)))
    done.set()
    await closing
    await ledger.close()

    assert await ledger.count("snapshots") >= 1
    assert await ledger.rows(ledger.urls.url, REPLAY) == []
    assert await ledger.balance(SHOP) == posters * batches * size * (size + 1) // 2
    assert await ledger.problems() == []
    sealed = await ledger.rows(
        ledger.urls.url, "SELECT sum(row_count)::bigint FROM seals WHERE shard LIKE 'entries/%'"
    )
    assert sealed == [(2 * posters * batches * size,)], "each entry is sealed once"


async def test_nothing_is_closed_that_an_open_transaction_may_still_add_to(ledger: Ledger) -> None:
    slow = await psycopg.AsyncConnection.connect(ledger.urls.superuser_url)
    try:
        await slow.execute("SELECT pg_current_xact_id()")
        await ledger.post(transfer("card:cus_1:EUR", SHOP, 5))
        assert await ledger.close() == 0
        await slow.commit()
        assert await ledger.close() == 2
    finally:
        await slow.close()
    assert await ledger.problems() == []


async def test_closing_again_without_news_does_nothing(ledger: Ledger) -> None:
    await ledger.post(transfer("card:cus_1:EUR", SHOP, 5))
    assert await ledger.close() == 2
    assert await ledger.close() == 0
    assert await ledger.count("seals") == 6


async def test_a_backlog_is_closed_in_bounded_stretches_of_whole_transactions(ledger: Ledger) -> None:
    for _ in range(6):
        await ledger.post(*(transfer("card:cus_1:EUR", SHOP, 1) for _ in range(10)))
    # 20 entries per transaction; the third would go over 50.
    assert [await ledger.ledger.close_stretch(50) for _ in range(4)] == [40, 40, 40, 0]
    assert await ledger.problems() == []


async def test_a_transaction_larger_than_a_stretch_is_closed_as_a_whole(ledger: Ledger) -> None:
    await ledger.post(transfer("card:cus_1:EUR", SHOP, 1))
    assert await ledger.ledger.close_stretch(5) == 2
    for size in (10, 1, 10):
        await ledger.post(*(transfer("card:cus_1:EUR", SHOP, 1) for _ in range(size)))
    # Somebody else's transaction in between, so that the large one is not the first that there may be.
    closed = [await ledger.ledger.close_stretch(5) for _ in range(4)]
    assert closed == [20, 2, 20, 0]
    assert await ledger.problems() == []


async def test_it_is_told_how_long_the_oldest_journal_waits_for_its_seal(ledger: Ledger) -> None:
    assert await ledger.ledger.unsealed_s() == 0
    await ledger.post(transfer("card:cus_1:EUR", SHOP, 1))
    await ledger.close()
    assert await ledger.ledger.unsealed_s() == 0
    slow = await psycopg.AsyncConnection.connect(ledger.urls.superuser_url)
    try:
        # It keeps everybody's horizon where it is.
        await slow.execute("SELECT pg_current_xact_id()")
        await ledger.post(transfer("card:cus_1:EUR", SHOP, 1))
        await ledger.behind_its_back(
            "UPDATE journals SET recorded_at = recorded_at - interval '2 minutes'"
            " WHERE txid = (SELECT max(txid) FROM journals)"
        )
        with capture_logs() as logs:
            await ledger.close()
        assert [(line["event"], line["log_level"]) for line in logs] == [("books.not_closed", "error")]
        assert await ledger.ledger.unsealed_s() > 100
        [(count, waiting_s)] = await ledger.rows(ledger.urls.url, UNSEALED % {"sealed": "'0'"})
        assert (count, waiting_s > 100) == (1, True)
    finally:
        await slow.close()
    await ledger.close()
    assert await ledger.ledger.unsealed_s() == 0


async def test_posting_stops_when_the_books_do_not_sum_to_zero(ledger: Ledger) -> None:
    await ledger.post(transfer("card:cus_1:EUR", SHOP, 5))
    await ledger.behind_its_back("UPDATE entries SET amount = 6 WHERE amount = 5")
    await ledger.close()
    assert await ledger.ledger.open_halts() != []
    [reason] = await ledger.ledger.open_halts()
    assert "EUR is off by 1" in reason
