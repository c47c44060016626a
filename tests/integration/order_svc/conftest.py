"""A counter: the order service with its database, where buyers place orders and events tell of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from florin.order.v1 import order_pb2
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed, OrderPlaced

from kit.messaging.step import Step
from kit.rpc.idempotency import Answer, IdempotentBatch, Keyed, ReplayCache, RequestKey
from kit.runtime.service import Runtime
from kit.values.clock import system_clock
from kit.values.errors import FlorinError
from kit.values.ids import new_id
from kit.values.trail import Trail
from order_svc.adapters.postgres.orders import PostgresOrderReader, PostgresOrders
from order_svc.application.checkout.admission import Admission
from order_svc.application.checkout.place_orders import Checkout
from order_svc.application.ports import Scope
from order_svc.bootstrap import NAME, Intake, placing
from order_svc.domain.order import Order
from order_svc.domain.pricing import CartLine, Price
from order_svc.transport.events import SUBSCRIPTIONS
from tests.conftest import RecordingRuntimeFactory
from tests.support.service import Scenario

Reply = Answer[order_pb2.Order] | Exception


class Counter(Scenario[Scope]):
    """Where orders are placed.

    Attributes:
        prices: what the catalogue says of products of mer_1.
        changed: orders that watchers were told of, after the commit.
    """

    def __init__(self, runtime: Runtime, redis_url: str) -> None:
        super().__init__(runtime, SUBSCRIPTIONS, self.scope)
        self.reader = PostgresOrderReader(runtime.database)
        self.admission = Admission(self.reader.count_open, limit=1_000)
        self.prices = {"mug": Price("Mug", 1_000, "EUR"), "tea": Price("Tea", 799, "EUR")}
        self.changed: list[Order] = []
        self.cache = ReplayCache(redis_url)
        runtime.closers.append(self.cache.close)
        self._numbers = count(1)
        batch = IdempotentBatch(
            steps=runtime.steps,
            cache=self.cache,
            apply=placing(self.admission, self.scope),
            response=order_pb2.Order,
        )
        self.intake = Intake(self._catalogue, batch)

    def scope(self, step: Step) -> Scope:
        """Return what the use cases get."""

        def changed(orders: Sequence[Order]) -> None:
            step.after_commit(lambda: self.changed.extend(orders))

        return Scope(PostgresOrders(step.connection), new_id, system_clock, changed)

    async def ask(self, *calls: Keyed[Checkout]) -> Sequence[Reply]:
        """Place orders as one batch and return the answers."""
        return await self.intake(list(calls))

    async def place(self, cart: Mapping[str, int] | None = None) -> str:
        """Place an order of its own and return its id."""
        [reply] = await self.ask(call(f"key {next(self._numbers)}", checkout(cart)))
        return answer(reply).message.id

    async def order(self, order_id: str) -> Order:
        """Return an order as it is now."""
        found = await self.reader.get(order_id)
        assert found is not None
        return found

    async def steps(self, order_id: str) -> list[str]:
        """Return the steps of an order's timeline."""
        return [step.step for step in await self.reader.timeline(order_id)]

    async def _catalogue(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
        return {key: self.prices[key[1]] for key in keys if key[1] in self.prices}


def checkout(cart: Mapping[str, int] | None = None, **fields: Any) -> Checkout:
    """Return a checkout of two mugs, or of another cart."""
    given: dict[str, Any] = {
        "merchant_id": "mer_1",
        "customer_id": "cus_1",
        "cart": tuple(CartLine(sku, quantity) for sku, quantity in (cart or {"mug": 2}).items()),
        "currency": "EUR",
        "payment_method_id": "pm_card_visa",
        "expected_total_amount": None,
        "shipping_address": {"country": "DE"},
        "attribution": {"campaign": "spring"},
        "receipt_email": "cus_1@example.com",
        "trail": Trail("cor_1", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
        **fields,
    }
    return Checkout(**given)


def call(key: str, wanted: Checkout | None = None) -> Keyed[Checkout]:
    """Return a checkout under an idempotency key; its fingerprint is that of its cart."""
    wanted = wanted or checkout()
    fingerprint = hashlib.sha256(repr(wanted.cart).encode()).digest()
    return Keyed(RequestKey("buyer:cus_1", "/CreateCheckout", key, fingerprint), wanted)


def answer(reply: Reply) -> Answer[order_pb2.Order]:
    """Return a reply that has to be an answer."""
    assert isinstance(reply, Answer), reply
    return reply


def reason(reply: Reply) -> str:
    """Return the reason of a reply that has to be a refusal."""
    assert isinstance(reply, FlorinError), reply
    return reply.reason


@pytest.fixture
async def counter(service_runtime: RecordingRuntimeFactory, redis_url: str) -> Counter:
    """A counter without orders."""
    return Counter(await service_runtime(NAME, [OrderPlaced, OrderCompleted, OrderFailed]), redis_url)
