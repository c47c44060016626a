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
        "version = 0",
        "status = 'PAID'",
        "status = 'FAILED'",
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
        await till.rows(
            "UPDATE attempts SET psp_reference = %s WHERE payment_id = %s", f"pi_{one.id}", two.id
        )


@pytest.mark.parametrize(
    "change",
    [
        "amount = 0",
        "number = 0",
        "operation = 0",
        "kind = 'GIFT'",
        "psp = ''",
        "state = 'PAID'",
        "psp_reference = NULL",
        "look_up_at = now()",
    ],
)
async def test_an_attempt_that_took_money_cannot_be_made_to_lie(till: Till, change: str) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(captured(payment))
    with pytest.raises(psycopg.errors.CheckViolation):
        await till.rows(f"UPDATE attempts SET {change}")


@pytest.mark.parametrize("is_done", [True, False])
async def test_no_charge_begins_beside_one_that_has_taken_money_or_may(till: Till, is_done: bool) -> None:
    [payment] = await till.begin("ord_1")
    if is_done:
        await till.learn(captured(payment))
    another = (
        "INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, started_at)"
        " SELECT payment_id, kind, number + 1, operation, amount, psp, 'OPEN', now() FROM attempts"
    )
    with pytest.raises(psycopg.errors.UniqueViolation, match="attempts_one_charge"):
        await till.rows(another)


@pytest.mark.parametrize("table", ["payments", "attempts", "decisions", "webhooks"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "DROP TABLE {}"])
async def test_the_service_cannot_make_anything_disappear(till: Till, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await till.rows(statement.format(table))


async def test_the_service_cannot_rewrite_what_a_person_has_decided(till: Till) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await till.rows("UPDATE decisions SET reason = reason")


@pytest.mark.parametrize("column", ["payload", "psp", "event_id", "type", "received_at"])
async def test_the_service_cannot_rewrite_what_a_psp_has_sent(till: Till, column: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await till.rows(f"UPDATE webhooks SET {column} = {column}")
