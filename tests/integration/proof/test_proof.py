"""The proof holds for an honest shop, and finds each lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from proof import verdict
from proof.audit import BOOKS, DATABASES, NOTICES, ORDERS, PAYMENTS, STOCK
from tests.integration.proof.shop import TOTAL, Shop, named, open_shop
from tests.support.databases import ServiceDatabase

NAMES: Final = [
    "ledger_zero_sum",
    "ledger_append_only",
    "balances_replay",
    "orders_payments_ledger_agree",
    "no_double_charge",
    "clearing_matches_psp",
    "caps_hold",
    "stock_conserved",
    "nothing_stuck",
    "dead_letters",
]

_LETTER: Final = """
INSERT INTO dead_letters (id, consumer, event_id, type, aggregate, payload, headers, error, attempts)
VALUES ('dl_1', 'notification_svc', 'evt_1', 'order.completed', 'order/ord_a', '', '{}', 'mailbox full', 8)
"""
_OUTBOX: Final = """
INSERT INTO outbox
    (event_id, type, aggregate, payload, correlation_id, traceparent, created_at, overdue_at)
VALUES ('evt_9', 'stock.reserved', 'order/ord_a', '', '', '', now() - interval '2 min', now())
"""
_FALSE_SNAPSHOT: Final = """
INSERT INTO snapshots SELECT id, '999999999', 5, 2 FROM accounts WHERE kind = 'card'
"""
_NEVER_SEALED: Final = """
UPDATE journals SET recorded_at = now() - interval '2 min';
DELETE FROM seals
"""
_SECOND_CURRENCY: Final = """
UPDATE accounts SET base = 'tax_payable:florin:USD', currency = 'USD' WHERE kind = 'tax_payable'
"""
_FIVE_MUGS: Final = """
UPDATE orders SET lines = '[["mug", "Mug", 5, 8900, 1421]]' WHERE id = 'ord_c'
"""
_LATE_MAIL: Final = """
INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent,
    status, attempts, last_error, requested_at, due_at)
VALUES ('dlv_1', 'ord_a', 'email', 'order_completed', 'a@b.test', '{}', '', '', 'PENDING', 3, 'refused',
    now() - interval '3 min', now() - interval '2 min')
"""
# Nobody has made partitions for long.
_NO_WEEKS: Final = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT p.part FROM partitions_of('timeline') AS p LOOP
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
END $$
"""
_FOREIGN_SALE: Final = """
INSERT INTO reservations (id, order_id, merchant_id, status, expires_at, created_at)
VALUES ('rsv_x', 'ord_nobody', 'mer_1', 'SOLD', now(), now() - interval '5 min')
"""


@pytest.fixture
async def shop(service_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Shop]:
    """A shop with two sales and a decline, its books closed."""
    async with open_shop(service_database) as shop:
        await shop.sell("a")
        await shop.decline("b")
        await shop.sell("c")
        await shop.age_books()
        await shop.ledger.close()
        yield shop


async def test_an_honest_shop_is_proven(shop: Shop) -> None:
    proof = await shop.proof()
    assert named(proof.checks) == NAMES
    assert {check.name: check.detail for check in proof.checks if not check.ok} == {}
    assert proof.ok
    assert proof.as_json()["checks"][0] == {
        "name": "ledger_zero_sum",
        "ok": True,
        "detail": "2 journals with 12 entries in EUR",
        "ms": proof.checks[0].ms,
    }


# Another content on both or all of the sides that a sum would not tell apart.
CONTENT: Final[list[tuple[str, str, str]]] = [
    (ORDERS, "UPDATE orders SET merchant_id = 'mer_9' WHERE id = 'ord_a'", "merchant mer_9, pay_a has mer_1"),
    (ORDERS, "UPDATE orders SET customer_id = 'cus_9' WHERE id = 'ord_a'", "buyer cus_9, pay_a has cus_1"),
    (ORDERS, "UPDATE orders SET tax_amount = 9 WHERE id = 'ord_a'", "tax 9, pay_a has 1421"),
    (ORDERS, "UPDATE orders SET currency = 'USD' WHERE id = 'ord_a'", "currency USD, pay_a has EUR"),
    (PAYMENTS, "UPDATE payments SET amount = 8901 WHERE id = 'pay_c'", "total 8900, pay_c has 8901"),
    (ORDERS, _FIVE_MUGS, "ord_c costs 8900 EUR with 1421 tax, its lines 44500 with 1421"),
    (ORDERS, _FIVE_MUGS, "5 of mug, its stock 1"),
    (STOCK, "UPDATE reservations SET merchant_id = 'mer_8' WHERE order_id = 'ord_c'", "its stock mer_8"),
    (
        STOCK,
        "UPDATE reservation_lines SET sku = 'cup' WHERE reservation_id = 'rsv_c'",
        "0 of cup, its stock 1",
    ),
    # An order that has failed is compared, too.
    (PAYMENTS, "UPDATE payments SET customer_id = 'cus_7' WHERE id = 'pay_b'", "pay_b has cus_7"),
]

# By the check that has to find them; told one after the other, so each spares what the next is about.
LIES: Final[dict[str, list[tuple[str, str, str]]]] = {
    "ledger_zero_sum": [
        (BOOKS, "UPDATE entries SET amount = 1 WHERE seq = 1", "jrn_a"),
        (BOOKS, "DELETE FROM entries WHERE journal_id LIKE 'jrn_c%'", "has no entries"),
        (BOOKS, "DELETE FROM journals WHERE id LIKE 'jrn_a%'", "without a journal"),
        (BOOKS, "INSERT INTO posting_halts (reason) VALUES ('off by 1')", "off by 1"),
    ],
    "ledger_append_only": [
        (BOOKS, "UPDATE entries SET amount = amount * 2", "entries/"),
        (BOOKS, "UPDATE journals SET kind = 'x' WHERE id LIKE 'jrn_a%'", "journals from transaction"),
        (BOOKS, _NEVER_SEALED, "2 journals older than a minute are not sealed"),
        (BOOKS, "DROP TRIGGER append_only ON entries_3", "refuses changes of entries_3"),
        (BOOKS, "ALTER TABLE journals DISABLE TRIGGER append_only", "refuses changes of journals"),
    ],
    "balances_replay": [
        (BOOKS, "UPDATE balance_headers SET posted = 1", "merchant:mer_1:EUR"),
        (BOOKS, _FALSE_SNAPSHOT, "card:cus_1:EUR"),
    ],
    "orders_payments_ledger_agree": [
        *CONTENT,
        (PAYMENTS, "UPDATE payments SET fee_amount = 299 WHERE id = 'pay_a'", "300 on platform_revenue"),
        (PAYMENTS, "UPDATE payments SET tax_amount = 1400 WHERE id = 'pay_a'", "1421 on tax_payable"),
        (PAYMENTS, "UPDATE payments SET merchant_id = 'mer_2' WHERE id = 'pay_c'", "merchant:mer_2:EUR"),
        (BOOKS, _SECOND_CURRENCY, "1421 on tax_payable:florin:USD, where nothing belongs"),
        (ORDERS, "UPDATE orders SET total_amount = 1", "ord_a costs 1 "),
        (ORDERS, "UPDATE orders SET journal_id = 'jrn_z'", "names jrn_z, which is not posted"),
        (STOCK, "UPDATE reservations SET status = 'HELD'", "stock is HELD"),
        (STOCK, _FOREIGN_SALE, "ord_nobody"),
        (ORDERS, "UPDATE orders SET status = 'FAILED' WHERE id = 'ord_c'", "8900 EUR of pay_c are kept"),
        (PAYMENTS, "DELETE FROM payments WHERE id = 'pay_a'", "nothing is captured"),
        (ORDERS, "DELETE FROM orders WHERE id = 'ord_a'", "'ord_a', which does not exist"),
    ],
    "no_double_charge": [
        (PAYMENTS, "UPDATE payments SET amount_captured = 1 WHERE id = 'pay_a'", "pay_a captured 1 EUR"),
        (PAYMENTS, "UPDATE payments SET currency = 'USD' WHERE id = 'pay_c'", "pay_c captured 8900 USD"),
        (PAYMENTS, "UPDATE attempts SET psp_reference = 'pi_z' WHERE payment_id = 'pay_a'", "pi_z did not"),
    ],
    "caps_hold": [
        (PAYMENTS, "UPDATE payments SET amount_refunded = 9000 WHERE id = 'pay_a'", "pay_a"),
        (PAYMENTS, "UPDATE attempts SET amount = 1 WHERE payment_id = 'pay_c'", "pay_c"),
    ],
    "stock_conserved": [
        (STOCK, "UPDATE products SET sold = sold + 1, on_hand = on_hand - 1", "sold 3; on record"),
        (STOCK, "DELETE FROM stock_adjustments", "on record: received 0"),
    ],
    "nothing_stuck": [
        (STOCK, "UPDATE reservations SET status = 'HELD'", "HELD for ord_a"),
        (ORDERS, "UPDATE orders SET status = 'PROCESSING', ended_at = NULL", "is PROCESSING for"),
        (PAYMENTS, "UPDATE payments SET status = 'UNKNOWN', amount_captured = 0", "pay_a is UNKNOWN"),
        (STOCK, _OUTBOX, "evt_9"),
        (NOTICES, _LATE_MAIL, "s late after 3 attempts: refused"),
        (ORDERS, _NO_WEEKS, "timeline in florin_order has no partition for 20"),
    ],
    "clearing_matches_psp": [
        (
            BOOKS,
            "DELETE FROM entries WHERE journal_id LIKE 'jrn_a%'",
            "pay_a EUR: the PSP's account moved by 8900",
        ),
    ],
    "dead_letters": [(BOOKS, _LETTER, "mailbox full")],
}


@pytest.mark.parametrize("database", DATABASES)
async def test_no_database_is_passed_over(shop: Shop, database: str) -> None:
    await shop.run(database, _LETTER)
    await shop.run(database, _OUTBOX)
    failures = await shop.failures()
    assert "mailbox full" in failures["dead_letters"]
    assert "evt_9" in failures["nothing_stuck"]


@pytest.mark.parametrize("check", LIES)
async def test_each_lie_is_found_and_named(shop: Shop, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "MAX_NAMED", 100)
    for database, table in ((ORDERS, "orders"), (PAYMENTS, "payments"), (STOCK, "products")):
        await shop.run(database, _without_checks(table))
    for database, lie, evidence in LIES[check]:
        await shop.run(database, lie)
        assert evidence in (await shop.failures()).get(check, "not found")


async def test_a_second_charge_for_one_payment_is_found(shop: Shop) -> None:
    shop.charge("pi_a2", "a")
    assert "pay_a was charged more than once: pi_a, pi_a2" in (await shop.failures())["no_double_charge"]


async def test_a_charge_that_nobody_here_knows_is_found(shop: Shop) -> None:
    shop.charge("pi_ghost", "ghost")
    assert "pi_ghost succeeded at the PSP" in (await shop.failures())["no_double_charge"]


async def test_a_charge_of_a_payment_that_failed_here_is_found(shop: Shop) -> None:
    shop.charge("pi_b2", "b")
    assert "pay_b is FAILED here" in (await shop.failures())["no_double_charge"]


async def test_a_charge_whose_answer_is_on_its_way_is_no_problem(shop: Shop) -> None:
    await shop.run(PAYMENTS, "UPDATE payments SET status = 'UNKNOWN', updated_at = now() WHERE id = 'pay_b'")
    shop.charge("pi_b2", "b")
    assert "no_double_charge" not in await shop.failures()


@pytest.mark.parametrize("status", ["requires_capture", "processing"])
async def test_money_held_for_a_payment_that_failed_here_is_found(shop: Shop, status: str) -> None:
    shop.charge("pi_a2", "a", status=status)
    assert "no_double_charge" not in await shop.failures()
    shop.charge("pi_b2", "b", status=status)
    assert f"pi_b2 is {status} at the PSP, pay_b is FAILED" in (await shop.failures())["no_double_charge"]


@pytest.mark.parametrize(
    ("currency", "taken"), [("ISK", 100 * TOTAL), ("UGX", 100 * TOTAL), ("MGA", TOTAL // 100), ("KWD", TOTAL)]
)
async def test_amounts_are_compared_in_the_units_that_the_psp_counts_in(
    shop: Shop, currency: str, taken: int
) -> None:
    await shop.run(PAYMENTS, f"UPDATE payments SET currency = '{currency}' WHERE id = 'pay_a'")
    shop.intents = [intent for intent in shop.intents if intent["id"] != "pi_a"]
    shop.charge("pi_a", "a", amount=taken, currency=currency.lower())
    assert "no_double_charge" not in await shop.failures()
    shop.charge("pi_a", "a", amount=taken + 1, currency=currency.lower())
    shop.intents.pop(1)
    assert "pi_a took" in (await shop.failures())["no_double_charge"]


_OPEN_AGAIN: Final = (
    "UPDATE orders SET status = 'PROCESSING', reason = '', ended_at = NULL WHERE id = 'ord_b'"
)


@pytest.mark.parametrize(
    ("payment", "attempt", "at_psp", "stuck"),
    [
        ("status = 'UNKNOWN', updated_at = now()", "state = 'OPEN'", "processing", True),
        ("status = 'PROCESSING'", "state = 'OPEN', psp_reference = NULL", "processing", True),
        # What we call PROCESSING excuses nothing; what the PSP calls so does, for as long as a bank may take.
        ("status = 'PROCESSING'", "state = 'OPEN'", "requires_payment_method", True),
        ("status = 'PROCESSING'", "state = 'OPEN', psp_reference = 'pi_none'", "processing", True),
        ("status = 'PROCESSING'", "state = 'OPEN', psp_reference = 'pi_a'", "processing", True),
        ("status = 'PROCESSING'", "state = 'OPEN'", "processing", False),
        (
            "status = 'PROCESSING', created_at = now() - interval '13 days'",
            "state = 'OPEN'",
            "processing",
            False,
        ),
        (
            "status = 'PROCESSING', created_at = now() - interval '15 days'",
            "state = 'OPEN'",
            "processing",
            True,
        ),
    ],
)
async def test_only_the_psp_can_say_that_a_payment_takes_its_time(
    shop: Shop, payment: str, attempt: str, at_psp: str, stuck: bool
) -> None:
    await shop.run(PAYMENTS, "DROP INDEX attempts_reference")
    await shop.run(ORDERS, _OPEN_AGAIN)
    await shop.run(PAYMENTS, f"UPDATE attempts SET {attempt} WHERE payment_id = 'pay_b'")
    await shop.run(PAYMENTS, f"UPDATE payments SET {payment} WHERE id = 'pay_b'")
    [intent] = [intent for intent in shop.intents if intent["id"] == "pi_b"]
    intent["status"] = at_psp
    detail = (await shop.failures()).get("nothing_stuck", "")
    assert [name for name in ("ord_b", "pay_b") if name in detail] == (["ord_b", "pay_b"] if stuck else [])


@pytest.mark.parametrize(("look_ups", "stuck"), [(7, False), (8, True)])
async def test_a_failed_payment_that_cannot_be_cancelled_at_the_psp_is_stuck(
    shop: Shop, look_ups: int, stuck: bool
) -> None:
    await shop.run(PAYMENTS, "UPDATE payments SET status = 'FAILED' WHERE id = 'pay_b'")
    await shop.run(
        PAYMENTS,
        f"UPDATE attempts SET state = 'CLOSING', look_up_at = now(), look_ups = {look_ups}"
        " WHERE payment_id = 'pay_b'",
    )
    assert ("pay_b is FAILED" in (await shop.failures()).get("nothing_stuck", "")) is stuck


async def test_a_capture_posted_twice_is_found(shop: Shop) -> None:
    shop.intents.append({"id": "pi_other", "status": "canceled", "metadata": {}})
    await shop.post("a")
    detail = (await shop.failures())["orders_payments_ledger_agree"]
    assert "is posted for ord_a, too, whose journal is jrn_a" in detail


async def test_the_psps_list_is_read_to_its_end(shop: Shop) -> None:
    for n in range(250):
        shop.charge(f"pi_{n}", f"n{n}", status="canceled")
    [check] = [check for check in (await shop.proof()).checks if check.name == "no_double_charge"]
    assert (check.ok, check.detail) == (True, "253 payments at the PSP (2 succeeded)")


async def test_only_the_first_problems_are_named_and_all_are_counted(shop: Shop) -> None:
    for n in range(8):
        shop.charge(f"pi_ghost{n}", f"ghost{n}")
    detail = (await shop.failures())["no_double_charge"]
    assert detail.count("pi_ghost") == 5
    assert detail.endswith("and 3 more")


async def test_what_cannot_be_looked_at_is_not_proven(shop: Shop) -> None:
    shop.psp_url = "http://127.0.0.1:1"
    failures = await shop.failures()
    assert list(failures) == ["no_double_charge", "clearing_matches_psp"]
    assert all("could not be checked" in detail for detail in failures.values())


def _without_checks(table: str) -> str:
    """Return what takes the CHECKs off a table, so that a row can lie."""
    return f"""
        DO $$
        DECLARE name text;
        BEGIN
            FOR name IN
                SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'c'
            LOOP EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', name); END LOOP;
        END $$
    """
