"""Nobody changes what was written; whoever does is found."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.ledger_svc.books import Ledger, transfer

BOOKS = ("journals", "entries", "entries_0", "snapshots", "seals", "accounts", "balance_headers")

# Anyone who may read the books may check them.
CHECKS = {"balance_of", "seal_hash", "shard_digests", "verify_seals"}
CALLABLE = """
SELECT proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('{}', oid, 'EXECUTE')
"""

SLIPPED_IN = """
INSERT INTO entries (account_id, journal_id, amount, txid)
SELECT account_id, journal_id, 1, txid FROM entries WHERE seq = 3
"""
LOST_SEAL = """
DELETE FROM seals WHERE shard = 'journals'
    AND from_txid = (SELECT from_txid FROM seals ORDER BY from_txid OFFSET 12 LIMIT 1)
"""


@pytest.fixture(autouse=True)
async def some_history(ledger: Ledger) -> None:
    """Books with a few sealed journals."""
    for n in range(5):
        await ledger.post(*(transfer(f"card:cus_{n}{i}:EUR", "merchant:mer_1:EUR", 7) for i in range(5)))
        await ledger.close()


@pytest.mark.parametrize("table", BOOKS)
async def test_the_service_cannot_write_the_books_by_itself(ledger: Ledger, table: str) -> None:
    for statement in (
        f"INSERT INTO {table} DEFAULT VALUES",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await ledger.rows(ledger.urls.url, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journals SET kind = 'x'",
        "UPDATE entries SET amount = amount + 1",
        "UPDATE balance_headers SET posted = 0",
        "UPDATE accounts SET closed_at = now()",
        "UPDATE chart SET floor = NULL",
        "INSERT INTO currencies VALUES ('XQZ', 2)",
        "INSERT INTO posting_halts (reason) VALUES ('x')",
        "UPDATE posting_halts SET lifted_at = now()",
    ],
)
async def test_the_service_cannot_change_the_books_by_itself(ledger: Ledger, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await ledger.rows(ledger.urls.url, statement)


@pytest.mark.parametrize(
    ("who", "may_call"),
    [
        ("public", CHECKS),
        # The last three touch tables that are declared to be kept for a while, and the books are not.
        (
            "florin_ledger",
            CHECKS
            | {"post_journals", "close_books"}
            | {"make_partitions", "partitions_of", "drop_partitions", "forget_rows"},
        ),
    ],
)
async def test_who_may_call_what(ledger: Ledger, who: str, may_call: set[str]) -> None:
    rows = await ledger.rows(ledger.urls.superuser_url, CALLABLE.format(who))
    assert {name for (name,) in rows} == may_call


@pytest.mark.parametrize("table", BOOKS)
async def test_even_the_owner_cannot_delete(ledger: Ledger, table: str) -> None:
    for statement in (
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"DELETE FROM {table} WHERE false",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append only"):
            await ledger.as_owner(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journals SET kind = 'x'",
        "UPDATE entries SET amount = amount + 1",
        "UPDATE entries_3 SET amount = amount + 1",
        "UPDATE snapshots SET posted = 0",
        "UPDATE seals SET row_count = 0",
        "UPDATE accounts SET code = 'card:me:EUR', base = 'card:me:EUR'",
    ],
)
async def test_even_the_owner_cannot_update(ledger: Ledger, statement: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="append only"):
        await ledger.as_owner(statement)


async def test_untouched_books_verify(ledger: Ledger) -> None:
    assert await ledger.count("seals") == 30
    assert await ledger.problems() == []


@pytest.mark.parametrize(
    ("edit", "shard"),
    [
        ("UPDATE entries SET amount = amount + 1 WHERE seq = 1", "entries"),
        ("DELETE FROM entries WHERE seq = 2", "entries"),
        (SLIPPED_IN, "entries"),
        ("UPDATE journals SET kind = 'x' WHERE id = (SELECT min(id) FROM journals)", "journals"),
        ("UPDATE journals SET effective_at = effective_at - interval '1 day'", "journals"),
        ("DELETE FROM journals WHERE id = (SELECT min(id) FROM journals)", "journals"),
        ("UPDATE accounts SET code = 'card:me:EUR', base = 'card:me:EUR' WHERE id = 1", "accounts"),
        ("UPDATE seals SET hash = sha256('x') WHERE shard = 'journals'", "journals"),
        (LOST_SEAL, "journals"),
    ],
)
async def test_a_superusers_hand_edit_is_found(ledger: Ledger, edit: str, shard: str) -> None:
    await ledger.behind_its_back(edit)
    problems = await ledger.problems()
    assert problems
    assert all(found.startswith(shard) for found, _ in problems)


async def test_an_edit_of_two_rows_that_still_sums_to_zero_is_found(ledger: Ledger) -> None:
    await ledger.behind_its_back("UPDATE entries SET amount = amount * 2 WHERE seq IN (1, 2)")
    assert await ledger.problems()
