"""A counter: the order service with its database, where buyers place orders and events tell of them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from florin.order.v1 import order_pb2

from kit.rpc.idempotency import Answer, Keyed, RequestKey
from kit.values.errors import FlorinError
from kit.values.trail import Trail
from order_svc.adapters.postgres.orders import PostgresOrderReader
from order_svc.application.checkout.place_orders import Checkout
from order_svc.application.ports import Scope
from order_svc.application.progress.watching import Watchers
from order_svc.domain.order import Order
from order_svc.domain.pricing import CartLine, Price
from order_svc.domain.schedule import COUNT_OPEN_ORDERS
from tests.conftest import RecordingRuntimeFactory
from tests.support.databases import ServiceDatabase
from tests.support.service import RecordingRuntime, Scenario

Reply = Answer[order_pb2.Order] | Exception


class Counter(Scenario[Scope]):
    """Where orders are placed.

    Attributes:
        prices: what the catalogue says of products of mer_1.
        told: orders that watchers were told of, after the commit.
    """

    def __init__(
        self, runtime: RecordingRuntime, database: ServiceDatabase, prices: Prices, told: list[Order]
    ) -> None:
        super().__init__(runtime)
        self.database = database
        self.reader = PostgresOrderReader(runtime.database)
        self.prices = prices
        self.told = told
        self._numbers = count(1)

    async def ask(self, *calls: Keyed[Checkout]) -> Sequence[Reply]:
        """Place orders as one batch and return the answers."""
        return await self.runtime.handlers["checkouts"](list(calls))

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

    async def count_open_orders(self) -> None:
        """Let the service count its open orders."""
        await self.runtime.background[COUNT_OPEN_ORDERS.name]()


class Prices(dict[str, Price]):
    """A catalogue of one merchant."""

    async def __call__(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
        """Return the prices of those products that exist."""
        return {key: self[key[1]] for key in keys if key[1] in self}


class Ear(Watchers):
    """Watchers who write down what they are told."""

    def __init__(self) -> None:
        super().__init__(self._nothing_else)
        self.told: list[Order] = []

    def tell(self, orders: Sequence[Order]) -> None:
        """Write the orders down."""
        self.told.extend(orders)

    async def _nothing_else(self, versions: Mapping[str, int]) -> Sequence[Order]:
        return []


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


NewCounter = Callable[..., Awaitable[Counter]]


@pytest.fixture
async def new_counter(
    service_runtime: RecordingRuntimeFactory,
    service_database: Callable[[str], ServiceDatabase],
    redis_url: str,
) -> NewCounter:
    """`await new_counter(max_open_orders=1)`: a counter without orders, with settings of its own."""

    async def build(database: ServiceDatabase | None = None, **settings: Any) -> Counter:
        prices = Prices(mug=Price("Mug", 1_000, "EUR"), tea=Price("Tea", 799, "EUR"))
        ear = Ear()
        database = database or service_database("order_svc")
        runtime = await service_runtime(
            "order_svc",
            database=database,
            settings={"redis_url": redis_url, **settings},
            catalogue=prices,
            watchers=ear,
        )
        return Counter(runtime, database, prices, ear.told)

    return build


@pytest.fixture
async def counter(new_counter: NewCounter) -> Counter:
    """A counter without orders."""
    return await new_counter()
