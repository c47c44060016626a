"""From `payment.captured` to `journal.posted`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from kit.observe.pulse import Pulse
from ledger_svc.application.ports import Scope
from tests.conftest import RecordingRuntimeFactory
from tests.integration.ledger_svc.books import Ledger
from tests.support.databases import ServiceDatabase
from tests.support.service import Scenario, envelope_of
from tests.support.waiting import eventually


def captured(order: str, *, amount: int = 8900, fee: int = 300, tax: int = 1421) -> PaymentCaptured:
    return PaymentCaptured(
        payment_id=f"pay_{order}",
        order_id=f"ord_{order}",
        version=3,
        merchant_id="mer_1",
        customer_id="cus_1",
        amount=amount,
        fee_amount=fee,
        tax_amount=tax,
        currency="EUR",
        psp="stripe",
        psp_reference=f"pi_{order}",
    )


@pytest.fixture
async def shop(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> AsyncIterator[tuple[Scenario[Scope], Ledger]]:
    """The ledger service, and its books as others see them."""
    database = service_database("ledger_svc")
    runtime = await service_runtime("ledger_svc", database=database)
    ledger = Ledger(database)
    await ledger.database.open()
    yield Scenario(runtime), ledger
    await ledger.database.close()


Shop = tuple[Scenario[Scope], Ledger]


async def test_a_capture_is_posted_and_told(shop: Shop) -> None:
    scenario, ledger = shop
    await scenario.when(captured("1"))
    [(journal_id, kind)] = await scenario.rows("SELECT id, kind FROM journals")
    scenario.then(JournalPosted(journal_id=journal_id, order_id="ord_1", payment_id="pay_1", kind=kind))
    assert kind == "payment.captured"
    expected = {
        "card:cus_1:EUR": -8900,
        "merchant:mer_1:EUR": 7179,
        "platform_revenue:florin:EUR": 300,
        "tax_payable:florin:EUR": 1421,
        "psp_clearing:stripe:EUR": -8900,
        "card_clearing:stripe:EUR": 8900,
    }
    assert {account: await ledger.balance(account) for account in expected} == expected


async def test_while_posting_is_halted_captures_wait_and_the_service_goes_on(shop: Shop) -> None:
    scenario, ledger = shop
    await ledger.as_owner("INSERT INTO posting_halts (reason) VALUES ('test')")
    seconds = [0.0]
    pulse = scenario.runtime.pump.pulse = Pulse(clock=lambda: seconds[-1])
    with pulse.at_work():
        capture = asyncio.create_task(scenario.when(captured("1")))
        await asyncio.sleep(0)
        seconds.append(60.0)
        await eventually(
            lambda: bool(pulse.trouble()), "it says what keeps it from posting", seen=pulse.problem
        )
        assert pulse.trouble() == "fails each time: Held('posting is halted: the books do not sum to zero')"
        assert pulse.problem() == ""
        assert not capture.done()
        await ledger.as_owner("UPDATE posting_halts SET lifted_at = now()")
        await capture
    assert pulse.trouble() == ""
    assert await ledger.balance("card:cus_1:EUR") == -8900


async def test_a_resent_capture_is_posted_once(shop: Shop) -> None:
    scenario, ledger = shop
    event = envelope_of(captured("1"))
    await scenario.given(event)
    await scenario.when(event)
    scenario.then_nothing()
    assert await ledger.balance("card:cus_1:EUR") == -8900


async def test_a_capture_that_the_inbox_has_forgotten_is_told_again_and_posted_once(shop: Shop) -> None:
    scenario, ledger = shop
    event = envelope_of(captured("1"))
    first = await scenario.when(event)
    await ledger.rows(ledger.urls.superuser_url, "DELETE FROM inbox")
    await scenario.when(event)
    scenario.then(*first)
    assert await ledger.balance("card:cus_1:EUR") == -8900


async def test_a_capture_that_cannot_be_posted_fails_alone(shop: Shop) -> None:
    scenario, ledger = shop
    emitted = await scenario.when(captured("1"), captured("2", amount=100, fee=90, tax=20), captured("3"))
    assert {event.order_id for event in emitted if isinstance(event, JournalPosted)} == {"ord_1", "ord_3"}
    assert await ledger.count("journals") == 2


async def test_a_refused_capture_becomes_a_dead_letter_with_the_code(shop: Shop) -> None:
    scenario, _ = shop
    unknown = captured("1")
    unknown.currency = "XQZ"
    await scenario.when_given_up(envelope_of(unknown))
    scenario.then_nothing()
    [(error,)] = await scenario.rows("SELECT error FROM dead_letters")
    assert "WRONG_CURRENCY" in error
