"""The PSP's own account of our money against what the books say it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from proof.audit import BOOKS, ORDERS
from tests.integration.proof.shop import TOTAL, Shop, open_shop
from tests.support.databases import ServiceDatabase


@pytest.fixture
async def shop(service_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Shop]:
    """A shop with two sales whose journals are old."""
    async with open_shop(service_database) as shop:
        await shop.sell("a")
        await shop.sell("c")
        await shop.age_books()
        await shop.ledger.close()
        yield shop


async def clearing(shop: Shop) -> str:
    return (await shop.failures()).get("clearing_matches_psp", "")


async def test_what_the_psp_has_and_the_books_do_not_is_found(shop: Shop) -> None:
    # Refunded at the PSP, in full and in part; disputed; and a charge that no journal knows.
    shop.move("txn_r", "a", amount=-TOTAL, kind="refund")
    assert "pay_a EUR: the PSP's account moved by 0 (" in (detail := await clearing(shop))
    assert "refund re_a" in detail
    assert "psp_clearing by 8900" in detail
    shop.movements.pop(0)
    shop.move("txn_p", "c", amount=-100, kind="refund")
    assert "pay_c EUR: the PSP's account moved by 8800" in await clearing(shop)
    shop.movements.pop(0)
    shop.move("txn_d", "a", amount=-TOTAL, kind="dispute")
    assert "dispute di_a" in await clearing(shop)
    shop.movements.pop(0)
    shop.move("txn_x", "ghost", amount=700)
    assert "pay_ghost EUR: the PSP's account moved by 700 (charge ch_ghost)" in await clearing(shop)
    shop.movements.pop(0)
    assert not await clearing(shop)


async def test_what_the_books_have_and_the_psp_does_not_is_found(shop: Shop) -> None:
    line = shop.movements.pop(0)
    assert "pay_c EUR: the PSP's account moved by 0 (nothing), psp_clearing by 8900" in await clearing(shop)
    line["currency"] = "usd"
    shop.movements.insert(0, line)
    assert {"pay_c EUR", "pay_c USD"} <= set(_items(await clearing(shop)))


def _items(detail: str) -> list[str]:
    return [part.split(": the PSP")[0].rpartition(": ")[2] for part in detail.split("; ")]


async def test_what_is_on_its_way_or_between_the_psp_and_our_bank_is_no_problem(shop: Shop) -> None:
    shop.move("txn_new", "new", amount=TOTAL, age_s=1)
    shop.move("txn_out", "payout", amount=-5_000, kind="payout")
    assert not await clearing(shop)
    await shop.run(BOOKS, "UPDATE journals SET recorded_at = now() WHERE id LIKE 'jrn_a%'")
    shop.movements = [line for line in shop.movements if line["id"] != "txn_a"]
    assert not await clearing(shop)


async def test_orders_too_new_to_look_at_are_counted(shop: Shop) -> None:
    await shop.run(ORDERS, "UPDATE orders SET ended_at = now() WHERE id = 'ord_a'")
    [check] = [check for check in (await shop.proof()).checks if check.name == "orders_payments_ledger_agree"]
    assert check.ok
    assert "1 ended orders (1 completed)" in check.detail
    assert "1 orders too new to look at, 0 not ended" in check.detail
