"""Florin in one process, without a network, a clock or a database: only what the services decide."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from inventory_svc.application import ports as inventory_ports
from inventory_svc.domain.reservation import Status as ReservationStatus
from inventory_svc.domain.stock import ProductKey
from inventory_svc.transport.events import SUBSCRIPTIONS as INVENTORY
from kit.messaging.events import NewEvent, Received
from kit.values.trail import Trail
from ledger_svc.application import ports as ledger_ports
from ledger_svc.transport.events import SUBSCRIPTIONS as LEDGER
from order_svc.application import ports as order_ports
from order_svc.application.checkout.place_orders import Checkout, place_orders, price_checkouts
from order_svc.domain.order import Order, Status
from order_svc.domain.pricing import CartLine, Price
from order_svc.transport.events import SUBSCRIPTIONS as ORDER
from payment_svc.application import ports as payment_ports
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.facts.receive_webhooks import receive_webhooks
from payment_svc.domain.payment import PspFact
from payment_svc.transport.events import SUBSCRIPTIONS as PAYMENT
from tests.property.saga.bus import Bus, Parcel, Service
from tests.property.saga.psp import Card, Fate, Intent, Psp
from tests.property.saga.stores import Books, Orders, Payments, Stockroom

T = TypeVar("T")
Hooks = list[Callable[[], None]]

MERCHANT: Final = "mer_1"
PRICES: Final = {"mug": 1_250, "tea": 799}

# Turns of the event loop after which whatever an answer has set off is done.
_TURNS: Final = 8

# The longest chain of events from a checkout to its end has six links; each may need a round of its own, and
# so may each of twenty bad fates that are still to come.
_ROUNDS_TO_QUIET: Final = 40


class System:
    """The services, joined by a bus and a PSP that do as they are told.

    Attributes:
        pace: the services, the fastest first.
        fates: what still befalls calls to the PSP when nobody chooses; after that they are answered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ticks = count(1)
        self._numbers = count(1)
        self.bus = Bus(self._clock)
        self.psp = Psp()
        self.orders = Orders()
        self.stock = Stockroom()
        self.payments = Payments()
        self.books = Books()
        self.announced: Counter[str] = Counter()
        self._charger = self._new_charger()
        self.services: dict[str, Service[Any]] = {
            service.name: service
            for service in (
                Service("order_svc", self.bus, ORDER, self._order_scope),
                Service("inventory_svc", self.bus, INVENTORY, self._inventory_scope),
                Service("payment_svc", self.bus, PAYMENT, self._payment_scope),
                Service("ledger_svc", self.bus, LEDGER, self._ledger_scope),
                Service(
                    "notification_svc",
                    self.bus,
                    {OrderCompleted: self._announce, OrderFailed: self._announce},
                    lambda hooks: None,
                ),
            )
        }
        self.pace = list(self.services)
        self.fates: list[Fate] = []

    # What happens to it.

    def place(self, cart: Mapping[str, int], card: Card) -> Order:
        """Let a buyer place an order."""
        number = next(self._numbers)
        checkout = Checkout(
            merchant_id=MERCHANT,
            customer_id=f"buyer_{number}",
            cart=tuple(CartLine(sku, quantity) for sku, quantity in cart.items()),
            currency="EUR",
            payment_method_id=card.value,
            expected_total_amount=None,
            shipping_address={"country": "DE"},
            attribution={},
            receipt_email=f"buyer_{number}@example.com",
            trail=Trail(f"cor_{number}"),
        )
        [order] = self._run(self._place(checkout))
        assert isinstance(order, Order)
        return order

    def deliver(self, parcels: Sequence[Parcel], *, dies_after_commit: bool = False) -> None:
        """Hand copies of events to one consumer, as one batch."""
        for parcel in parcels:
            self.bus.under_way.remove(parcel)
        [consumer] = {parcel.consumer for parcel in parcels}
        self._run(self.services[consumer].handle(parcels, dies_after_commit=dies_after_commit))

    def answer_call(self, index: int, fate: Fate) -> None:
        """Let a call to the PSP meet its fate."""
        call = self.psp.calls.pop(index)
        self._run(self._called(partial(call.meet, fate)))

    def deliver_webhooks(self, webhooks: Sequence[payment_ports.Webhook]) -> None:
        """Hand webhooks to the payment service, as one batch."""
        self._run(self._receive(webhooks))

    def sweep(self) -> None:
        """Let the payment service look for payments that are undecided."""
        self._run(self._charger.sweep())

    def restart_payment_svc(self) -> None:
        """Let the payment service forget the calls that it has under way."""
        self._run(self._charger_dies())
        self._charger = self._new_charger()

    def deliver_all(self) -> None:
        """Let all that is under way arrive; a slower service also hears what that sets off."""
        for consumer in self.pace:
            if mine := [parcel for parcel in self.bus.under_way if parcel.consumer == consumer]:
                self.deliver(mine)
                self.what_always_holds()

    def go_on(self) -> None:
        """Let a moment pass in which no event is lost, and every call to the PSP meets its fate."""
        self.deliver_all()
        while self.psp.calls:
            self.answer_call(0, self.fates.pop() if self.fates else Fate.ANSWERED)

    def recover(self, decide: Callable[[Intent], bool]) -> None:
        """End the faults of the bus, soon also those of the PSP, and wait until nothing is left to do.

        Args:
            decide: whether an intent that waits for its buyer or the bank is paid.
        """
        for _ in range(_ROUNDS_TO_QUIET):
            if self.bus.quiet and not self.psp.calls and all(o.ended for o in self.orders.by_id.values()):
                return
            self.bus.resend()
            self.sweep()
            self.go_on()
            for intent in self.psp.waiting():
                self.psp.decide(intent, paid=decide(intent))
        open_orders = [order.id for order in self.orders.by_id.values() if not order.ended]
        raise AssertionError(f"still not quiet: open orders {open_orders}, calls {len(self.psp.calls)}")

    def hear_everything_again(self) -> None:
        """Let every webhook and every event that was ever sent come once more, the latest first."""
        self.bus.under_way = []
        self.bus.send(reversed(self.bus.sent))
        self.deliver_webhooks(self.psp.webhooks[::-1])
        self.go_on()

    # What must hold.

    def what_always_holds(self) -> None:
        """Check what no moment may break."""
        self.every_unit_is_accounted_for()
        self.the_books_balance()
        self.nobody_is_charged_twice()
        self.no_order_ends_too_early()

    def every_unit_is_accounted_for(self) -> None:
        """Received is on hand or sold, and what is reserved is on hand and held by somebody."""
        stock = self.stock
        for product, received in stock.received.items():
            assert received == stock.on_hand[product] + stock.sold[product]
            assert 0 <= stock.reserved[product] <= stock.on_hand[product]
            for state, units in (
                (ReservationStatus.HELD, stock.reserved),
                (ReservationStatus.SOLD, stock.sold),
            ):
                in_state = [r for r in stock.by_order.values() if r.status is state]
                assert units[product] == sum(r.lines.get(product, 0) for r in in_state)

    def the_books_balance(self) -> None:
        """Everything sums to zero."""
        assert sum(self.books.balances().values()) == 0

    def nobody_is_charged_twice(self) -> None:
        """At most one capture per order, and of exactly its total."""
        for order in self.orders.by_id.values():
            assert [i.amount for i in self.psp.captured(order.id)] in ([], [order.total_amount])

    def no_order_ends_too_early(self) -> None:
        """COMPLETED means charged, in the books and sold; FAILED means that nothing was taken."""
        for order in self.orders.by_id.values():
            if order.status is Status.COMPLETED:
                assert len(self.psp.captured(order.id)) == 1
                assert [journal.id for journal in self.books.of_order(order.id)] == [order.journal_id]
                assert self.stock.state_of(order.id) is ReservationStatus.SOLD
            elif order.status is Status.FAILED:
                assert self.psp.captured(order.id) == []
                assert self.books.of_order(order.id) == []

    def everything_agrees(self) -> None:
        """For a system at rest: each order has ended, and whoever knows of it says the same."""
        self.no_order_ends_too_early()
        for order in self.orders.by_id.values():
            paid = len(self.psp.captured(order.id)) == 1
            assert order.status is (Status.COMPLETED if paid else Status.FAILED)
            assert paid == (self.stock.state_of(order.id) is ReservationStatus.SOLD)
            assert paid == (len(self.books.of_order(order.id)) == 1)
            assert self.announced[order.id] == 1, "told once how it ended"
        assert +self.stock.reserved == Counter(), "an order that has ended holds nothing"
        taken = sum(intent.amount for intent in self.psp.captured())
        assert self.books.balances()["psp_clearing:stripe:EUR"] == -taken
        assert set(self.payments.webhooks.values()) <= {"applied"}, "no webhook contradicts what we know"

    # How it is put together.

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a piece of work returns, once what it has set off has come as far as it can."""

        async def settled() -> T:
            result = await work
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            return result

        return self._loop.run_until_complete(settled())

    async def _place(self, checkout: Checkout) -> Sequence[Order | Exception]:
        priced = await price_checkouts(self._catalogue, [checkout])
        orders, events = await place_orders(self._order_scope([]), priced)
        self.bus.send(self.bus.store(events))
        return orders

    async def _catalogue(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
        return {key: Price(key[1].title(), PRICES[key[1]], "EUR") for key in keys}

    async def _called(self, act: Callable[[], None]) -> None:
        act()

    async def _learn(self, fact: PspFact) -> None:
        applied = await apply_psp_facts(self._payment_scope([]), [fact])
        assert not applied.problems, f"the PSP contradicts itself: {applied.problems}"
        self.bus.send(self.bus.store(applied.events))

    async def _receive(self, webhooks: Sequence[payment_ports.Webhook]) -> None:
        _, events = await receive_webhooks(self._payment_scope([]), webhooks)
        self.bus.send(self.bus.store(events))

    def _new_charger(self) -> Charger:
        # A look at the clock takes a millisecond: some buyers come back in time, some do not.
        return Charger(self.psp, self.payments, self._learn, clock=self._clock, action_ttl_s=0.1)

    async def _charger_dies(self) -> None:
        for call in self.psp.calls:
            call.answer.cancel()

    async def _announce(
        self, scope: None, ended: Sequence[Received[OrderCompleted | OrderFailed]]
    ) -> list[NewEvent]:
        self.announced.update(event.message.order_id for event in ended)
        return []

    def _order_scope(self, hooks: Hooks) -> order_ports.Scope:
        return order_ports.Scope(self.orders, self._new_id, self._clock, lambda changed: None)

    def _inventory_scope(self, hooks: Hooks) -> inventory_ports.Scope:
        catalogue: Any = None  # What the use cases of this saga have no need of.
        return inventory_ports.Scope(self.stock, catalogue, self._new_id)

    def _payment_scope(self, hooks: Hooks) -> payment_ports.Scope:
        return payment_ports.Scope(
            payments=self.payments,
            new_id=self._new_id,
            clock=self._clock,
            charge=lambda payments: hooks.append(lambda: self._charger.charge(payments)),
            fee_bp=250,
            psp="stripe",
        )

    def _ledger_scope(self, hooks: Hooks) -> ledger_ports.Scope:
        return ledger_ports.Scope(self.books, self._new_id)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def _clock(self) -> datetime:
        """Return a later instant at each call."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=next(self._ticks))


def key_of(sku: str) -> ProductKey:
    """Return the key of a product of the shop."""
    return ProductKey(MERCHANT, sku)
