"""What the database itself refuses, whatever the code believes."""

from __future__ import annotations

import psycopg
import pytest
from florin.inventory.v1.inventory_events_pb2 import StockRejected

from tests.integration.order_svc.conftest import Counter
from tests.integration.order_svc.test_orders import sale


@pytest.mark.parametrize(
    "change",
    [
        "status = 'PAID'",
        "status = 'COMPLETED'",
        "status = 'COMPLETED', ended_at = now()",
        "status = 'COMPLETED', ended_at = now(), payment_id = 'p', journal_id = 'j'",
        "status = 'COMPLETED', ended_at = now(), payment_id = 'p', stock_sold = true",
        "status = 'COMPLETED', ended_at = now(), journal_id = 'j', stock_sold = true",
        "status = 'FAILED', ended_at = now()",
        "status = 'FAILED', reason = 'card_declined'",
        "reason = 'card_declined'",
        "ended_at = now()",
        "status = 'REQUIRES_ACTION'",
        "next_action_type = 'redirect_to_url'",
        "next_action_url = 'https://bank.example'",
        "lines = '[]'",
        "currency = 'euro'",
        "total_amount = 0",
        "total_amount = 100000000",
        "tax_amount = -1",
        "tax_amount = total_amount + 1",
        "version = 0",
    ],
)
async def test_an_order_on_its_way_cannot_be_made_to_lie(counter: Counter, change: str) -> None:
    await counter.place()
    with pytest.raises(psycopg.errors.CheckViolation):
        await counter.rows(f"UPDATE orders SET {change}")


@pytest.mark.parametrize(
    "change", ["journal_id = ''", "payment_id = ''", "stock_sold = false", "ended_at = NULL"]
)
async def test_a_completed_order_keeps_what_completed_it(counter: Counter, change: str) -> None:
    await counter.given(*sale(await counter.place()))
    with pytest.raises(psycopg.errors.CheckViolation):
        await counter.rows(f"UPDATE orders SET {change}")


async def test_a_failed_order_keeps_its_reason(counter: Counter) -> None:
    order_id = await counter.place()
    await counter.given(StockRejected(order_id=order_id, reason="out_of_stock", skus=["mug"]))
    with pytest.raises(psycopg.errors.CheckViolation):
        await counter.rows("UPDATE orders SET reason = ''")


@pytest.mark.parametrize("table", ["orders", "timeline"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "DROP TABLE {}"])
async def test_the_service_cannot_make_anything_disappear(
    counter: Counter, table: str, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await counter.rows(statement.format(table))


async def test_the_service_cannot_rewrite_a_timeline(counter: Counter) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await counter.rows("UPDATE timeline SET detail = ''")
