"""What could not end by itself ends: the whole service, its database and the simulator of the PSP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import stripe
from florin.payment.v1.payment_events_pb2 import PaymentFailed

from payment_svc.adapters.postgres.payments import PostgresPaymentReader
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, Status
from payment_svc.domain.schedule import LOOK_UP_DUE
from psp_sim.testing import API_KEY, WEBHOOK_SECRET
from tests.contract.psp_sim.shop import Shop, closed, opened
from tests.integration.payment_svc.conftest import reserved
from tests.support import service
from tests.support.databases import ServiceDatabase
from tests.support.service import RecordingRuntime, handle, recorded, wired
from tests.support.waiting import eventually


class Counter:
    """The payment service with all its parts, before a simulated PSP."""

    def __init__(self, runtime: RecordingRuntime, shop: Shop) -> None:
        self.shop = shop
        self._runtime = runtime
        self._reader = PostgresPaymentReader(runtime.database)

    async def begin(self, method: str = "pm_card_visa") -> str:
        """Let an order's payment begin and return its id."""
        await handle(self._runtime, self._runtime.pump, reserved("ord_1", method=method))
        [(payment_id,)] = await self._rows("SELECT id FROM payments")
        return str(payment_id)

    async def payment(self, payment_id: str) -> Payment:
        """Return it as it is."""
        found = await self._reader.get(payment_id)
        assert found is not None
        return found

    async def becomes(self, payment_id: str, status: Status, *, by_look_ups: bool = True) -> Payment:
        """Return it once it is in a state, looking it up until then."""

        async def is_so() -> bool:
            if by_look_ups:
                await self._rows("UPDATE attempts SET look_up_at = now() WHERE look_up_at IS NOT NULL")
                await self._runtime.background[LOOK_UP_DUE.name]()
            return (await self.payment(payment_id)).status is status

        await eventually(is_so, f"{payment_id} is {status.value}")
        return await self.payment(payment_id)

    async def intents(self) -> list[Any]:
        """Return what the PSP has."""
        return list((await self.shop.stripe.v1.payment_intents.list_async()).data)

    def failures(self) -> list[str]:
        """Return the reasons of the failures that were announced since the last call."""
        said = service.opened(recorded(self._runtime).take())
        return [message.reason for message in said if isinstance(message, PaymentFailed)]

    async def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self._runtime.database.connection() as connection:
            cursor = await connection.execute(statement)
            return await cursor.fetchall() if cursor.description else []


@pytest.fixture
async def counter(
    service_database: Callable[[str], ServiceDatabase], tmp_path: Path
) -> AsyncIterator[Counter]:
    shop = await opened(tmp_path)
    settings = {
        "psp_api_key": API_KEY,
        "psp_webhook_secret": WEBHOOK_SECRET,
        "psp_base_url": shop.simulator.base_url,
        "psp_searches_per_s": 100,
    }
    runtime = wired("payment_svc", service_database("payment_svc").url, settings)
    await runtime.database.open()
    for gatherer in runtime.gatherers.values():
        gatherer.start()
    yield Counter(runtime, shop)
    await runtime.close()
    await closed(shop)


async def test_a_charge_that_is_refused_after_a_call_without_an_answer_fails(counter: Counter) -> None:
    await counter.shop.configure(outage=True)
    payment_id = await counter.begin("pm_of_nobody")
    await counter.becomes(payment_id, Status.UNKNOWN, by_look_ups=False)
    await counter.shop.control("POST", "reset")
    await counter.becomes(payment_id, Status.FAILED)
    assert counter.failures() == ["rejected_by_psp"]


async def test_a_500_that_the_psp_keeps_under_the_key_is_overcome_by_another_key(counter: Counter) -> None:
    await counter.shop.configure(stored_error_rate=1.0)
    payment_id = await counter.begin()
    await counter.becomes(payment_id, Status.UNKNOWN, by_look_ups=False)
    await counter.shop.control("POST", "reset")
    paid = await counter.becomes(payment_id, Status.CAPTURED)
    assert [attempt.state for attempt in paid.attempts] == [State.ENDED, State.DONE]
    [intent] = await counter.intents()
    assert (intent.id, intent.metadata.attempt) == (paid.current.psp_reference, "2")


@pytest.mark.parametrize("method", ["pm_card_visa", None])
async def test_an_intent_that_nobody_confirmed_is_cancelled_and_fails(
    counter: Counter, method: str | None
) -> None:
    await counter.shop.configure(outage=True)
    payment_id = await counter.begin()
    await counter.becomes(payment_id, Status.UNKNOWN, by_look_ups=False)
    await counter.shop.control("POST", "reset")
    half_made = {"amount": 2000, "currency": "eur", "metadata": {"payment_id": payment_id}}
    await counter.shop.stripe.v1.payment_intents.create_async(
        {**half_made, "payment_method": method} if method else half_made
    )
    await counter.becomes(payment_id, Status.FAILED)
    assert [intent.status for intent in await counter.intents()] == ["canceled"]
    assert counter.failures() == ["never_confirmed"]


async def test_a_declined_payment_cannot_be_paid_once_its_failure_is_told(counter: Counter) -> None:
    payment_id = await counter.begin("pm_card_chargeDeclined")
    declined = await counter.becomes(payment_id, Status.FAILED, by_look_ups=False)
    assert counter.failures() == ["card_declined"]
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        await counter.shop.stripe.v1.payment_intents.confirm_async(
            declined.current.psp_reference, {"payment_method": "pm_card_visa"}
        )
