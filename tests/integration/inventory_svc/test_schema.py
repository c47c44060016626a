"""What the database itself refuses, whatever the code believes."""

from __future__ import annotations

import psycopg
import pytest
from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from inventory_svc import proof
from tests.integration.inventory_svc.conftest import Shop, placed

TABLES = ["products", "stock_adjustments", "reservations", "reservation_lines"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "DROP TABLE {}"])
async def test_the_service_cannot_make_anything_disappear(shop: Shop, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await shop.rows(statement.format(table))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_adjustments SET delta = 1",
        "UPDATE reservation_lines SET quantity = 1",
        "UPDATE reservations SET order_id = 'ord_2'",
        "UPDATE reservations SET merchant_id = 'mer_2'",
    ],
)
async def test_the_service_cannot_rewrite_what_was_written_down(shop: Shop, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await shop.rows(statement)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("reserved = on_hand + 1", "products_not_oversold"),
        ("on_hand = on_hand + 1", "products_conserved"),
        ("sold = sold + 1", "products_conserved"),
        ("on_hand = on_hand - 1", "products_conserved"),
        ("reserved = -1", "products_reserved_check"),
    ],
)
async def test_a_product_cannot_hold_numbers_that_do_not_add_up(
    shop: Shop, change: str, constraint: str
) -> None:
    await shop.sells(mug=2)
    with pytest.raises(psycopg.errors.CheckViolation) as violation:
        await shop.rows(f"UPDATE products SET {change}")
    assert violation.value.diag.constraint_name == constraint


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE products SET reserved = reserved - 1",
        "UPDATE products SET sold = sold + 1, received = received + 1",
        "UPDATE products SET on_hand = on_hand + 1, received = received + 1",
        "UPDATE reservations SET status = 'RELEASED' WHERE order_id = 'ord_1'",
        "UPDATE reservations SET status = 'HELD' WHERE order_id = 'ord_2'",
    ],
)
async def test_the_proof_finds_a_change_by_hand(shop: Shop, tampering: str) -> None:
    await shop.sells(mug=9, tea=9)
    await shop.given(placed("ord_1", mug=2, tea=1), placed("ord_2", mug=1), PaymentCaptured(order_id="ord_2"))
    await shop.every_unit_is_accounted_for()
    async with shop.runtime.database.connection() as connection:
        await connection.execute(tampering)
    assert await shop.rows(proof.WRONG_STOCK) != []
