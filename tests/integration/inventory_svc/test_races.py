"""Several writers at once: no unit is sold twice and none is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import psycopg
import pytest
from florin.inventory.v1.inventory_events_pb2 import StockRejected, StockReserved, StockSold
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed
from google.protobuf.message import Message

from inventory_svc.application.ports import Scope, Survey
from inventory_svc.domain.product import AdjustStock, Product
from inventory_svc.transport.events import SUBSCRIPTIONS
from kit.messaging.step import Step
from tests.conftest import RecordingRuntimeFactory
from tests.integration.inventory_svc.conftest import Shop, key_of, placed
from tests.support.databases import ServiceDatabase
from tests.support.service import pump_of


@pytest.fixture
async def branches(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> list[Shop]:
    """Two replicas of the service on one database."""
    database = service_database("inventory_svc")
    return [Shop(await service_runtime("inventory_svc", database=database)) for _ in range(2)]


async def in_batches(branch: Shop, events: Sequence[Message], size: int) -> list[Message]:
    """Let events happen in batches, each as soon as the one before is done."""
    said: list[Message] = []
    for start in range(0, len(events), size):
        said += await branch.when(*events[start : start + size])
    return said


async def test_200_buyers_at_two_replicas_get_the_50_units_there_are(branches: list[Shop]) -> None:
    await branches[0].sells(mug=50)
    orders = [placed(f"ord_{number:03}", mug=1) for number in range(200)]
    said = await asyncio.gather(
        in_batches(branches[0], orders[::2], 7), in_batches(branches[1], orders[1::2], 7)
    )
    counts = Counter(type(event) for events in said for event in events)
    assert counts == {StockReserved: 50, StockRejected: 150}
    assert await branches[0].stock("mug") == (50, 50, 0)
    await branches[0].every_unit_is_accounted_for()


async def test_carts_in_any_order_with_payments_and_deliveries_meanwhile(branches: list[Shop]) -> None:
    await branches[0].sells(mug=40, pot=40, tea=40)
    skus = ["mug", "pot", "tea"]

    async def trade(branch: Shop, name: str) -> list[Message]:
        """Place orders of two products, pay every other one as it is held."""
        said: list[Message] = []
        for batch in range(6):
            orders = [
                placed(f"{name}_{batch}_{n}", **{skus[n % 3]: 2, skus[(n + 1 + batch % 2) % 3]: 1})
                for n in range(5)
            ]
            held = [event for event in await branch.when(*orders) if isinstance(event, StockReserved)]
            outcomes = [
                PaymentFailed(order_id=event.order_id) if n % 2 else PaymentCaptured(order_id=event.order_id)
                for n, event in enumerate(held)
            ]
            said += await branch.when(*outcomes) if outcomes else []
        return said

    async def deliver() -> None:
        for _ in range(10):
            await branches[1].adjust(*(AdjustStock(key_of(sku), 1, "delivery") for sku in reversed(skus)))

    said = await asyncio.gather(trade(branches[0], "left"), trade(branches[1], "right"), deliver())
    sales = [event for events in said[:2] for event in events if isinstance(event, StockSold)]
    assert len(sales) >= 30
    assert sum([(await branches[0].stock(sku))[2] for sku in skus]) == 3 * len(sales)
    assert await branches[0].rows("SELECT * FROM dead_letters") == []
    await branches[0].every_unit_is_accounted_for()


class OvertakenStockroom:
    """A stockroom where somebody else changes the stock just after the first look at it."""

    def __init__(self, scope: Scope, overtake: Callable[[], object]) -> None:
        self._inner = scope.stockroom
        self._overtake = overtake
        self.reservations = scope.stockroom.reservations
        self.add = scope.stockroom.add
        self.move = scope.stockroom.move

    async def survey(self, *arguments: object) -> Survey:
        survey = await self._inner.survey(*arguments)  # type: ignore[arg-type]  # handed on as they are
        await self._overtake()  # type: ignore[misc]  # a coroutine function
        return survey


async def test_a_decision_on_old_stock_is_made_again(shop: Shop) -> None:
    await shop.sells(mug=3)
    attempts: list[int] = []

    async def take_two_away() -> None:
        if len(attempts) == 1:
            await shop.adjust(AdjustStock(key_of("mug"), -2, "broken"))

    def scope(step: Step) -> Scope:
        attempts.append(step.attempt)
        inner: Scope = shop.runtime.scope(step)
        return Scope(OvertakenStockroom(inner, take_two_away), inner.catalogue, inner.new_id)

    overtaken = Shop(shop.runtime, pump_of(shop.runtime, SUBSCRIPTIONS, scope))
    said = await overtaken.when(placed("ord_1", mug=2), placed("ord_2", mug=1))
    assert attempts == [1, 2]
    assert [type(event) for event in said] == [StockRejected, StockReserved]
    assert await shop.stock("mug") == (1, 1, 0)
    await shop.every_unit_is_accounted_for()


async def test_who_starts_again_cannot_be_overtaken_a_second_time(shop: Shop) -> None:
    await shop.sells(mug=3)

    async def careful(step: Step) -> None:
        step.attempt = 2
        await shop.runtime.scope(step).stockroom.survey([], [key_of("mug")])
        async with shop.runtime.database.connection() as other:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await other.execute("SELECT 1 FROM products FOR NO KEY UPDATE NOWAIT")

    await shop.runtime.steps.take(careful)


async def test_adjustments_of_one_batch_are_decided_one_after_the_other(shop: Shop) -> None:
    await shop.sells(mug=3)
    answers = await shop.adjust(*(AdjustStock(key_of("mug"), delta, "count") for delta in (-2, -2, 4, -5)))
    left = [answer.on_hand if isinstance(answer, Product) else answer.reason for answer in answers]
    assert left == [1, "STOCK_TOO_LOW", 5, 0]
    await shop.every_unit_is_accounted_for()
