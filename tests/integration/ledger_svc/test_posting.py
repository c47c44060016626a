"""What the posting function takes, refuses and remembers."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from kit.store.database import Database
from kit.values.errors import InvalidRequest, Unavailable
from kit.values.money import exponent, known_currencies
from ledger_svc.adapters.postgres.books import PostgresLedger
from ledger_svc.domain.journal import Code
from tests.integration.ledger_svc.books import Ledger, journal, transfer

CARD, SHOP = "card:cus_1:EUR", "merchant:mer_1:EUR"


async def test_a_balanced_journal_moves_both_balances(ledger: Ledger) -> None:
    [posting] = await ledger.post(transfer(CARD, SHOP, 8900))
    assert posting.code is Code.POSTED
    assert posting.journal_id.startswith("jrn_")
    assert (await ledger.balance(CARD), await ledger.balance(SHOP)) == (-8900, 8900)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (Code.UNBALANCED, [(CARD, -100), (SHOP, 99)]),
        (Code.UNBALANCED, [(CARD, -100), ("merchant:mer_1:USD", 100)]),
        (Code.UNBALANCED, [(CARD, -1), (SHOP, 2), ("bank:florin:USD", -1)]),
        (Code.EMPTY, []),
        (Code.EMPTY, [(CARD, 5)]),
        (Code.ZERO_AMOUNT, [(CARD, 0), (SHOP, 0)]),
        (Code.ZERO_AMOUNT, [(CARD, -5), (SHOP, 5), ("bank:florin:EUR", 0)]),
        (Code.UNKNOWN_ACCOUNT, [("purse:cus_1:EUR", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("card:EUR", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("card:a:b:c:EUR", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("card: :EUR", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("card:" + "x" * 151 + ":EUR", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("", -5), (SHOP, 5)]),
        (Code.UNKNOWN_ACCOUNT, [("platform_revenue:florin:EUR#07", -5), (SHOP, 5)]),
        (Code.WRONG_CURRENCY, [("card:cus_1:XQZ", -5), ("merchant:mer_1:XQZ", 5)]),
        (Code.WRONG_CURRENCY, [("card:cus_1:eur", -5), ("merchant:mer_1:eur", 5)]),
        (Code.WRONG_CURRENCY, [("points:cus_1:EUR", -5), ("points:pool:EUR", 5)]),
    ],
)
async def test_a_bad_journal_is_refused_alone_and_leaves_nothing(
    ledger: Ledger, code: Code, lines: list[tuple[str, int]]
) -> None:
    bad = journal(lines)
    before, refused, after = await ledger.post(transfer(CARD, SHOP, 1), bad, transfer(CARD, SHOP, 2))
    assert (before.code, refused.code, after.code) == (Code.POSTED, code, Code.POSTED)
    assert (refused.business_key, refused.journal_id) == (bad.business_key, "")
    assert await ledger.balance(SHOP) == 3
    assert await ledger.count("journals") == 2


async def test_a_refused_journal_opens_no_account(ledger: Ledger) -> None:
    assert await ledger.codes(journal({"card:new:EUR": -5, "bank:new:EUR": 4})) == [Code.UNBALANCED]
    assert await ledger.ledger.balance("card:new:EUR") is None


async def test_a_closed_account_takes_no_entries(ledger: Ledger) -> None:
    await ledger.post(transfer(CARD, SHOP, 5))
    await ledger.as_owner(f"UPDATE accounts SET closed_at = now() WHERE code = '{CARD}'")
    assert await ledger.codes(transfer(CARD, SHOP, 5), transfer("card:cus_2:EUR", SHOP, 5)) == [
        Code.CLOSED_ACCOUNT,
        Code.POSTED,
    ]


async def test_two_currencies_balance_each_on_its_own(ledger: Ledger) -> None:
    exchange = journal(
        {
            "card:cus_1:USD": -1000,
            "fx_pool:florin:USD": 1000,
            "fx_pool:florin:EUR": -900,
            "merchant:mer_1:EUR": 890,
            "fx_revenue:florin:EUR": 10,
        }
    )
    assert await ledger.codes(exchange) == [Code.POSTED]
    assert await ledger.balance("fx_pool:florin:USD") == 1000


async def test_currencies_without_and_with_three_decimals_and_points(ledger: Ledger) -> None:
    codes = await ledger.codes(
        transfer("card:cus_1:JPY", "merchant:mer_1:JPY", 500),
        transfer("card:cus_1:KWD", "merchant:mer_1:KWD", 1500),
        transfer("points:pool:PTS", "points:cus_1:PTS", 10),
    )
    assert codes == [Code.POSTED] * 3


async def test_the_books_count_in_the_minor_units_of_all_others(ledger: Ledger) -> None:
    exponents = dict(await ledger.rows(ledger.urls.url, "SELECT code, exponent FROM currencies"))
    assert exponents == {code: exponent(code) for code in known_currencies()} | {"PTS": 0}


async def test_posting_twice_returns_the_first(ledger: Ledger) -> None:
    first, again = transfer(CARD, SHOP, 5, key="evt_1"), transfer(CARD, SHOP, 7, key="evt_1")
    [posted] = await ledger.post(first)
    [repeated] = await ledger.post(again)
    assert (repeated.code, repeated.journal_id) == (Code.POSTED_BEFORE, posted.journal_id)
    assert await ledger.balance(SHOP) == 5


async def test_the_same_key_twice_in_one_batch_is_one_journal(ledger: Ledger) -> None:
    one, two, three = (transfer(CARD, SHOP, 5, key=key) for key in ("evt_2", "evt_1", "evt_2"))
    postings = await ledger.post(one, two, three)
    assert [p.code for p in postings] == [Code.POSTED, Code.POSTED, Code.POSTED_BEFORE]
    assert postings[2].journal_id == postings[0].journal_id == one.id
    assert await ledger.balance(SHOP) == 10


async def test_a_repeated_refused_journal_is_refused_again(ledger: Ledger) -> None:
    codes = await ledger.codes(journal([], key="evt_1"), journal([], key="evt_1"))
    assert codes == [Code.EMPTY, Code.EMPTY]


async def test_a_bad_journal_with_a_posted_key_is_answered_by_the_first(ledger: Ledger) -> None:
    [posted] = await ledger.post(transfer(CARD, SHOP, 5, key="evt_1"))
    [answer] = await ledger.post(journal([], key="evt_1"))
    assert (answer.code, answer.journal_id) == (Code.POSTED_BEFORE, posted.journal_id)


async def test_concurrent_posters_of_the_same_keys_post_each_once(ledger: Ledger) -> None:
    keys = [f"evt_{n}" for n in range(40)]

    async def post(shift: int) -> list[Code]:
        turned = keys[shift:] + keys[:shift]  # Different orders: they must not deadlock.
        return await ledger.codes(*(transfer(f"card:{key}:EUR", SHOP, 1, key=key) for key in turned))

    codes = [code for batch in await asyncio.gather(*(post(5 * n) for n in range(8))) for code in batch]
    assert codes.count(Code.POSTED) == len(keys)
    assert codes.count(Code.POSTED_BEFORE) == 7 * len(keys)
    assert await ledger.balance(SHOP) == len(keys)
    assert await ledger.count("entries") == 2 * len(keys)


async def test_a_floor_refuses_the_debit_that_would_break_it_and_no_other(ledger: Ledger) -> None:
    reserve, bank = "merchant_reserve:mer_1:EUR", "bank:florin:EUR"
    assert await ledger.codes(
        transfer(bank, reserve, 100),
        transfer(reserve, bank, 60),
        transfer(reserve, bank, 60),  # 40 are left.
        transfer(reserve, bank, 40),
        transfer(reserve, bank, 1),
    ) == [Code.POSTED, Code.POSTED, Code.LIMIT_EXCEEDED, Code.POSTED, Code.LIMIT_EXCEEDED]
    assert await ledger.balance(reserve) == 0


async def test_a_repeated_credit_does_not_count_twice_against_a_floor(ledger: Ledger) -> None:
    reserve, bank = "merchant_reserve:mer_1:EUR", "bank:florin:EUR"
    assert await ledger.codes(
        transfer(bank, reserve, 100, key="evt_1"),
        transfer(bank, reserve, 100, key="evt_1"),
        transfer(reserve, bank, 150),
    ) == [Code.POSTED, Code.POSTED_BEFORE, Code.LIMIT_EXCEEDED]
    assert await ledger.codes(transfer(bank, reserve, 100, key="evt_1"), transfer(reserve, bank, 150)) == [
        Code.POSTED_BEFORE,
        Code.LIMIT_EXCEEDED,
    ]


async def test_a_payout_needs_a_balance_and_a_refund_does_not(ledger: Ledger) -> None:
    await ledger.post(transfer(CARD, SHOP, 100))
    payout = transfer(SHOP, "payout_in_transit:mer_1:EUR", 101, kind="payout.requested")
    refund = transfer(SHOP, CARD, 101, kind="payment.refunded")
    assert await ledger.codes(payout) == [Code.LIMIT_EXCEEDED]
    assert await ledger.codes(refund) == [Code.POSTED]
    assert await ledger.balance(SHOP) == -1
    # Below the floor, what it is owed still comes in.
    assert await ledger.codes(transfer(CARD, SHOP, 100)) == [Code.POSTED]


async def test_parallel_payouts_never_pay_more_than_there_is(ledger: Ledger) -> None:
    await ledger.post(transfer(CARD, SHOP, 100))

    async def pay_out() -> Code:
        [code] = await ledger.codes(
            transfer(SHOP, "payout_in_transit:mer_1:EUR", 30, kind="payout.requested")
        )
        return code

    codes = await asyncio.gather(*(pay_out() for _ in range(10)))
    assert codes.count(Code.POSTED) == 3
    assert codes.count(Code.LIMIT_EXCEEDED) == 7
    assert await ledger.balance(SHOP) == 10


async def test_headers_of_constrained_accounts_equal_their_entries(ledger: Ledger) -> None:
    await ledger.post(*(transfer(f"card:cus_{n}:EUR", SHOP, n + 1) for n in range(50)))
    [(posted, version)] = await ledger.rows(ledger.urls.url, "SELECT posted, version FROM balance_headers")
    assert posted == await ledger.balance(SHOP) == 50 * 51 // 2
    assert version == 2, "touched once per batch"


async def test_a_hot_account_is_many_lanes_and_one_balance(ledger: Ledger) -> None:
    await ledger.post(*(transfer(CARD, "platform_revenue:florin:EUR", 1) for _ in range(500)))
    lanes = await ledger.rows(
        ledger.urls.url, "SELECT code FROM accounts WHERE base = 'platform_revenue:florin:EUR'"
    )
    assert len(lanes) == 32
    assert ("platform_revenue:florin:EUR#07",) in lanes
    assert await ledger.balance("platform_revenue:florin:EUR") == 500


async def test_a_correction_names_the_journal_it_corrects(ledger: Ledger) -> None:
    [posted] = await ledger.post(transfer(CARD, SHOP, 5))
    correction = journal({CARD: 5, SHOP: -5}, corrects=posted.journal_id)
    assert await ledger.codes(correction) == [Code.POSTED]
    with pytest.raises(InvalidRequest):
        await ledger.post(journal({CARD: 5, SHOP: -5}, corrects="jrn_nobody_knows"))


async def test_what_cannot_be_stored_fails_as_a_request(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest):
        await ledger.post(journal({"card:\x00:EUR": -5, SHOP: 5}))
    with pytest.raises(InvalidRequest):
        await ledger.post(transfer(CARD, SHOP, 10**15 + 1))


_GONE_AT_COMMIT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON journals DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION cut()
"""


async def test_a_connection_lost_at_commit_is_told_as_unknown(ledger: Ledger) -> None:
    await ledger.rows(ledger.urls.superuser_url, _GONE_AT_COMMIT)
    with pytest.raises(Unavailable, match=r"may have been posted.* same business_key"):
        await ledger.post(transfer(CARD, SHOP, 5, key="evt_1"))
    await ledger.rows(ledger.urls.superuser_url, "DROP FUNCTION cut CASCADE")
    assert await ledger.codes(transfer(CARD, SHOP, 5, key="evt_1")) == [Code.POSTED]
    assert await ledger.balance(SHOP) == 5


async def test_a_statement_that_takes_too_long_is_no_fault_of_the_request(
    ledger: Ledger,
) -> None:
    role = ledger.urls.name
    await ledger.rows(
        ledger.urls.superuser_url, f"ALTER ROLE {role} IN DATABASE {role} SET statement_timeout = '100ms'"
    )
    hurried = Database(ledger.urls.url)
    await hurried.open()
    async with await psycopg.AsyncConnection.connect(ledger.urls.superuser_url) as other:
        await other.execute("LOCK TABLE journals IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="nothing was posted"):
            await PostgresLedger(hurried).post_together([transfer(CARD, SHOP, 5)])
    await hurried.close()
    assert await ledger.count("journals") == 0


async def test_a_thousand_journals_fit_and_one_more_does_not(ledger: Ledger) -> None:
    assert await ledger.codes(*(transfer(CARD, SHOP, 1) for _ in range(1000))) == [Code.POSTED] * 1000
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        await ledger.rows(
            ledger.urls.url,
            "SELECT post_journals(array_fill('x'::text, ARRAY[1001]), '{}', '{}', '{}', '{}', '{}', '{}',"
            " '{}', '{}', '{}', '{}')",
        )


async def test_posting_stops_while_a_halt_is_open_and_reads_go_on(ledger: Ledger) -> None:
    await ledger.post(transfer(CARD, SHOP, 5))
    await ledger.as_owner("INSERT INTO posting_halts (reason) VALUES ('test')")
    with pytest.raises(Unavailable, match="do not sum to zero"):
        await ledger.post(transfer(CARD, SHOP, 5))
    assert await ledger.balance(SHOP) == 5
    await ledger.as_owner("UPDATE posting_halts SET lifted_at = now()")
    assert await ledger.codes(transfer(CARD, SHOP, 5)) == [Code.POSTED]
