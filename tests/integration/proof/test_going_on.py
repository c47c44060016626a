"""A proof goes on from where the last one ended, and finds what was done to what it had proven."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proof import agreement, journals
from proof.audit import BOOKS, ORDERS, PAYMENTS, STOCK
from proof.memory import Memory
from tests.integration.proof.shop import TOTAL, Shop, open_shop
from tests.support.databases import ServiceDatabase


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


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "proof")


async def told(shop: Shop, memory: Memory, *, full: bool = False) -> dict[str, str]:
    """What each check of a proof without problems has looked at."""
    proof = await shop.proof(memory, full=full)
    assert {check.name: check.detail for check in proof.checks if not check.ok} == {}
    return {check.name: check.detail for check in proof.checks}


async def test_a_proof_looks_at_what_is_new_and_at_a_part_of_the_rest(
    shop: Shop, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(shop, memory)
    monkeypatch.setattr(agreement, "_PATROL", 1)
    await shop.sell("d")
    await shop.age_books_of("d")
    await shop.ledger.close()

    looked_at = await told(shop, memory)
    assert looked_at["orders_payments_ledger_agree"] == (
        "1 ended orders (1 completed), 1 captures, 1 journals; 0 orders too new to look at, 0 not ended;"
        " 3 orders proven before, 1 of them looked at again"
    )
    assert looked_at["ledger_zero_sum"] == "3 journals with 18 entries in EUR, 2 of them proven before"
    assert looked_at["ledger_append_only"] == ("18 entries sealed in 2 stretches, 12 of them proven before")
    assert looked_at["caps_hold"] == "1 payments; 3 proven before"
    assert "EUR 26700 at the PSP, 26700 in psp_clearing" in looked_at["clearing_matches_psp"]

    # All of it again, and it is what it was.
    everything = await told(shop, memory, full=True)
    assert everything["orders_payments_ledger_agree"].startswith("4 ended orders (3 completed), 3 captures")


async def test_what_is_wrong_is_not_passed_over_the_next_time(shop: Shop, memory: Memory) -> None:
    await told(shop, memory)
    await shop.sell("d")
    await shop.run(ORDERS, "UPDATE orders SET total_amount = 1, tax_amount = 0 WHERE id = 'ord_d'")
    for _ in range(2):
        assert "ord_d costs 1 EUR" in (await shop.failures(memory))["orders_payments_ledger_agree"]


async def test_what_had_not_ended_is_looked_at_when_it_has(shop: Shop, memory: Memory) -> None:
    await shop.run(
        ORDERS,
        "UPDATE orders SET status = 'PROCESSING', reason = '', ended_at = NULL,"
        " created_at = now() - interval '2 min', updated_at = now() WHERE id = 'ord_b'",
    )
    looked_at = (await shop.proof(memory)).checks[3]
    assert (looked_at.ok, "1 not ended" in looked_at.detail) == (True, True)
    await shop.run(
        ORDERS,
        "UPDATE orders SET status = 'FAILED', reason = 'x', ended_at = now() - interval '1 min',"
        " customer_id = 'cus_9' WHERE id = 'ord_b'",
    )
    failure = (await shop.failures(memory))["orders_payments_ledger_agree"]
    assert "ord_b has the buyer cus_9, pay_b has cus_1" in failure
    await shop.run(ORDERS, "DELETE FROM orders WHERE id = 'ord_b'")
    failure = (await shop.failures(memory))["orders_payments_ledger_agree"]
    assert "ord_b was there at the last proof and is gone" in failure


async def test_money_that_comes_or_goes_long_after_its_order_is_found(shop: Shop, memory: Memory) -> None:
    await told(shop, memory)
    # A refund that only the PSP knows; a second journal; a capture of an order that had failed.
    shop.move("txn_r", "a", amount=-TOTAL, kind="refund", age_s=200)
    await shop.run(
        PAYMENTS, "UPDATE payments SET status = 'CAPTURED', amount_captured = 8900 WHERE id = 'pay_b'"
    )
    await shop.post("b")
    failures = await shop.failures(memory)
    assert "pay_a EUR: the PSP's account moved by -8900 (refund re_a)" in failures["clearing_matches_psp"]
    assert "8900 EUR are kept of ord_b, which is FAILED" in failures["orders_payments_ledger_agree"]


async def test_stock_that_is_sold_after_it_was_given_back_is_conserved_and_a_lost_unit_is_found(
    shop: Shop, memory: Memory
) -> None:
    before = (await told(shop, memory))["stock_conserved"]
    assert "8 free + 0 reserved + 2 sold" in before
    # Late money: what was RELEASED at the last proof is sold.
    await shop.run(STOCK, "UPDATE reservations SET status = 'SOLD' WHERE id = 'rsv_b'")
    await shop.run(STOCK, "UPDATE products SET on_hand = on_hand - 1, sold = sold + 1")
    assert "stock_conserved" not in await shop.failures(memory)
    await shop.run(STOCK, "UPDATE products SET on_hand = on_hand - 1, sold = sold + 1")
    assert "sold 4; on record" in (await shop.failures(memory))["stock_conserved"]
    await shop.run(STOCK, "DELETE FROM products")
    assert "on hand None" in (await shop.failures(memory))["stock_conserved"]


async def test_proven_orders_that_were_changed_everywhere_alike_are_found_by_a_full_proof(
    shop: Shop, memory: Memory
) -> None:
    await told(shop, memory)
    await shop.run(
        ORDERS, """UPDATE orders SET lines = '[["mug", "Cup", 1, 8900, 1421]]' WHERE id = 'ord_a'"""
    )
    await told(shop, memory)
    failures = await shop.failures(memory, full=True)
    assert "3 orders up to ord_c that were proven are not what they were" in failures.pop(
        "orders_payments_ledger_agree"
    )
    assert failures == {}


async def test_a_rewritten_chain_of_seals_is_found_by_its_anchor(shop: Shop, memory: Memory) -> None:
    await told(shop, memory)
    # A row is changed, and all seals are made anew: the chain fits again.
    await shop.run(
        BOOKS, "UPDATE journals SET recorded_at = recorded_at - interval '1 s' WHERE id LIKE 'jrn_a%'"
    )
    await shop.run(BOOKS, "DELETE FROM seals")
    await shop.ledger.close()
    assert "ledger_append_only" not in await shop.failures()
    detail = (await shop.failures(memory))["ledger_append_only"]
    assert "entries/0 from transaction 0: not the seal that a proof has seen" in detail


async def test_an_anchor_that_is_gone_or_cannot_be_read_is_told(
    shop: Shop, memory: Memory, tmp_path: Path
) -> None:
    await told(shop, memory)
    anchors = tmp_path / "proof" / "ledger_append_only.anchors.jsonl"
    kept = anchors.read_text()
    assert len(kept.splitlines()) == 1
    await told(shop, memory)
    assert anchors.read_text() == kept, "nothing was sealed in between"
    anchors.unlink()
    assert "is gone" in (await shop.failures(memory))["ledger_append_only"]
    anchors.write_text("{")
    assert "cannot be read" in (await shop.failures(memory))["ledger_append_only"]


async def test_pages_of_one_row_prove_the_same(
    shop: Shop, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_YOUNG", agreement._YOUNG | {"page": 1})
    monkeypatch.setattr(agreement, "PAGE", 1)
    monkeypatch.setattr(journals, "_PAGE", 1)
    looked_at = (await told(shop, memory))["orders_payments_ledger_agree"]
    assert looked_at.startswith("3 ended orders (2 completed), 2 captures, 2 journals")
    await shop.run(STOCK, "UPDATE reservations SET status = 'HELD' WHERE id = 'rsv_c'")
    assert (
        "ord_c is COMPLETED but its stock is HELD" in (await shop.failures())["orders_payments_ledger_agree"]
    )


def test_what_another_version_remembers_is_not_believed(memory: Memory, tmp_path: Path) -> None:
    memory.remember("caps_hold", {"after": "pay_z"})
    assert memory.proven("caps_hold") == {"after": "pay_z"}
    (tmp_path / "proof" / "caps_hold.json").write_text(
        json.dumps({"version": 0, "state": {"after": "pay_z"}})
    )
    assert memory.proven("caps_hold") == {}
