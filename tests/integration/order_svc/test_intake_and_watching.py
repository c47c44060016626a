"""What the order service counts, stores and looks up for those who wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from florin.order.v1 import order_pb2
from florin.order.v1.order_events_pb2 import OrderPlaced

from kit.messaging.step import Step
from kit.rpc.idempotency import Answer, IdempotentBatch, Keyed, ReplayCache, RequestKey
from kit.runtime.context import Runtime
from kit.values.clock import system_clock
from kit.values.errors import Unavailable
from kit.values.ids import new_id
from kit.values.trail import Trail
from order_svc.adapters.postgres.orders import PostgresOrderReader, PostgresOrders
from order_svc.application.checkout.admission import Admission
from order_svc.application.checkout.place_orders import Checkout, PricedCheckout
from order_svc.application.ports import Scope
from order_svc.domain.order import Order
from order_svc.domain.pricing import PricedLine, Quote
from order_svc.transport.intake import placing
from tests.conftest import RecordingRuntimeFactory
from tests.unit.order_svc.orders import LATER, order

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
async def runtime(service_runtime: RecordingRuntimeFactory) -> Runtime:
    return await service_runtime("order_svc", emits=[OrderPlaced])


def scope(step: Step) -> Scope:
    return Scope(PostgresOrders(step.connection), new_id, system_clock, lambda orders: None)


def call(key: str) -> Keyed[PricedCheckout]:
    checkout = Checkout("mer_1", "cus_1", (), "EUR", "pm_card_visa", None, {}, {}, "", Trail("cor_1"))
    quote = Quote((PricedLine("mug", "Mug", 1, 2_000, 319),), 2_000, 319)
    return Keyed(
        RequestKey("buyer:cus_1", "/CreateCheckout", key, bytes(32)), PricedCheckout(checkout, quote)
    )


async def store(runtime: Runtime, *orders: Order) -> None:
    await runtime.steps.take(lambda step: PostgresOrders(step.connection).add(orders))


async def save(runtime: Runtime, *orders: Order) -> None:
    await runtime.steps.take(lambda step: PostgresOrders(step.connection).save(orders))


async def test_a_replay_is_answered_when_there_is_no_room_and_takes_none(runtime: Runtime) -> None:
    reader = PostgresOrderReader(runtime.database)
    admission = Admission(reader.count_open, late_s=lambda: 0.0, limit=2, clock=system_clock)
    cache = ReplayCache(NOWHERE)
    batch = IdempotentBatch(
        steps=runtime.steps, cache=cache, apply=placing(admission, scope), response=order_pb2.Order
    )
    [first] = await batch([call("key_1")])
    assert isinstance(first, Answer)
    for _ in range(5):
        [again] = await batch([call("key_1")])
        assert again == Answer(first.message, replayed=True)

    two = await batch([call("key_2"), call("key_3")])
    assert {type(outcome) for outcome in two} == {Answer, Unavailable}, "there is room for one of them"
    [again] = await batch([call("key_1")])
    assert again == Answer(first.message, replayed=True)
    assert await reader.count_open(system_clock() - timedelta(minutes=1), 10) == 2
    await cache.close()


async def test_an_order_that_waits_for_an_action_without_a_page_is_stored(runtime: Runtime) -> None:
    placed = order()
    await store(runtime, placed)
    waiting = placed.require_action("pay_1", "use_stripe_sdk", "", LATER)
    await save(runtime, waiting)
    assert await PostgresOrderReader(runtime.database).get(placed.id) == waiting


async def test_one_look_finds_the_watched_orders_that_have_changed_and_no_others(runtime: Runtime) -> None:
    orders = [replace(order(), id=f"ord_{number}") for number in range(5)]
    await store(runtime, *orders)
    changed = [each.fail("out_of_stock", LATER) for each in orders[:2]]
    await save(runtime, *changed)
    reader = PostgresOrderReader(runtime.database)
    found = await reader.changed({"ord_0": 1, "ord_1": 2, "ord_3": 1, "ord_nobody": 1})
    assert found == changed[:1]
