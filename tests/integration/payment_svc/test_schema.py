"""What the database itself refuses, whatever the code believes."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.payment_svc.conftest import Till, captured


@pytest.mark.parametrize(
    "change",
    [
        "amount = 0",
        "amount = -1",
        "amount_captured = amount + 1",
        "amount_captured = -1",
        "amount_captured = 0",
        "amount_refunded = amount_captured + 1",
        "amount_refunded = -1",
        "fee_amount = -1",
        "tax_amount = -1",
        "fee_amount = amount",
        "tax_amount = amount - fee_amount + 1",
        "currency = 'eur'",
        "currency = 'EURO'",
        "attempt = 0",
        "version = 0",
        "status = 'PAID'",
        "status = 'FAILED'",
        "psp_reference = NULL",
        "look_up_at = now()",
    ],
)
async def test_a_captured_payment_cannot_be_made_to_lie(till: Till, change: str) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(captured(payment))
    with pytest.raises(psycopg.errors.CheckViolation):
        await till.rows(f"UPDATE payments SET {change}")


@pytest.mark.parametrize("change", ["amount_captured = 1", "status = 'CAPTURED'", "status = 'SETTLED'"])
async def test_a_payment_without_money_cannot_look_like_one_with(till: Till, change: str) -> None:
    await till.begin("ord_1")
    with pytest.raises(psycopg.errors.CheckViolation):
        await till.rows(f"UPDATE payments SET {change}")


async def test_an_order_has_one_payment_and_an_intent_belongs_to_one(till: Till) -> None:
    one, two = await till.begin("ord_1", "ord_2")
    await till.learn(captured(one))
    with pytest.raises(psycopg.errors.UniqueViolation):
        await till.rows("UPDATE payments SET order_id = 'ord_1'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await till.rows("UPDATE payments SET psp_reference = %s WHERE id = %s", f"pi_{one.id}", two.id)


@pytest.mark.parametrize("table", ["payments", "webhooks"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "DROP TABLE {}"])
async def test_the_service_cannot_make_anything_disappear(till: Till, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await till.rows(statement.format(table))


@pytest.mark.parametrize("column", ["payload", "event_id", "type", "received_at"])
async def test_the_service_cannot_rewrite_what_a_psp_has_sent(till: Till, column: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await till.rows(f"UPDATE webhooks SET {column} = {column}")
