"""Florin in one process, without a network, a clock or a database: only what the services decide."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar, cast

from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from structlog.testing import capture_logs

import inventory_svc.bootstrap
import inventory_svc.settings
import ledger_svc.bootstrap
import ledger_svc.settings
import notification_svc.bootstrap
import notification_svc.settings
import order_svc.bootstrap
import order_svc.settings
import payment_svc.bootstrap
import payment_svc.settings
from inventory_svc.domain.reservation import Status as ReservationStatus
from inventory_svc.domain.stock import ProductKey
from kit.messaging.events import events_in
from kit.rpc.idempotency import Keyed, RequestKey
from kit.values.errors import FlorinError
from kit.values.trail import Trail
from order_svc.application.checkout.place_orders import Checkout
from order_svc.domain.order import Order, Status
from order_svc.domain.pricing import CartLine, Price
from payment_svc.application.ports import Webhook
from payment_svc.domain.attempt import State
from payment_svc.domain.decision import DecidePayment, PspWord
from payment_svc.domain.payment import Status as PaymentStatus
from payment_svc.domain.schedule import LOOK_UP_DUE
from roster import ROSTER
from tests.property.saga.bus import Bus, Parcel
from tests.property.saga.psp import Card, Fate, Intent, Psp
from tests.property.saga.runtime import SimulatedRuntime
from tests.property.saga.stores import Books, Deliveries, Orders, Payments, Stockroom

T = TypeVar("T")

MERCHANT: Final = "mer_1"
PRICES: Final = {"mug": 1_250, "tea": 799}

# Whoever emits events takes part, and of those who only listen the one that buyers hear from.
CAST: Final = tuple(
    context.package
    for context in ROSTER
    if events_in(context.event_protos) or context.package == "notification_svc"
)

# What a service says of a fact that cannot be: the PSP of this shop never contradicts itself.
_NEVER_LOGGED: Final = {"payment.contradicted", "payment.call_failed"}

# Turns of the event loop after which whatever an answer has set off is done.
_TURNS: Final = 8

# The longest chain of events from a checkout to its end has six links; each may need a round of its own. Each
# of twenty bad fates that are still to come may need three: to notice that a key is spent, that nothing is
# left of it, and to use another.
_ROUNDS_TO_QUIET: Final = 80


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
        self.bus = Bus(self._clock, CAST)
        self.psp = Psp()
        self.orders = Orders()
        self.stock = Stockroom()
        self.payments = Payments(self.psp.charging)
        self.books = Books()
        self.deliveries = Deliveries()
        self._inboxes: dict[str, set[str]] = defaultdict(set)
        self.services: dict[str, SimulatedRuntime] = {}
        for package in CAST:
            self._start(package)
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
        key = RequestKey("buyer", "/CreateCheckout", str(number), b"")
        placed = self._run(self.services["order_svc"].gathered["checkouts"].submit(Keyed(key, checkout)))
        return self.orders.by_id[placed.message.id]

    def deliver(self, parcels: Sequence[Parcel], *, dies_after_commit: bool = False) -> None:
        """Hand copies of events to one consumer, as one batch."""
        for parcel in parcels:
            self.bus.under_way.remove(parcel)
        [consumer] = {parcel.consumer for parcel in parcels}
        self._run(self.services[consumer].consumer.handle(parcels, dies_after_commit=dies_after_commit))

    def answer_call(self, index: int, fate: Fate) -> None:
        """Let a call to the PSP meet its fate."""
        call = self.psp.calls.pop(index)
        self._run(self._called(partial(call.meet, fate)))

    def deliver_webhooks(self, webhooks: Sequence[Webhook]) -> None:
        """Hand webhooks to the payment service, as one batch."""
        self._run(self.services["payment_svc"].gathered["psp_news"].handle(list(webhooks)))

    def sweep(self) -> None:
        """Let the payment service look for payments that are undecided."""
        self.payments.all_are_due()
        self._run(self.services["payment_svc"].background[LOOK_UP_DUE.name]())

    def decide(self, payment_id: str, outcome: PaymentStatus, *, lags: bool) -> None:
        """Let somebody decide a payment as the service allows it, after asking a PSP whose search may lag."""
        payment = self.payments.by_id[payment_id]
        said = self.psp.says(payment, lags=lags)
        lives = payment.current.state is not State.SPENT
        word = PspWord(True, said, about=payment.current, key_lives=lives)
        wish = DecidePayment(payment_id, outcome, "seen at the bank", "ops:ada", "", False, word)
        key = RequestKey("ops", "/DecidePayment", str(next(self._numbers)), b"")
        with suppress(FlorinError):
            self._run(self.services["payment_svc"].gathered["decisions"].submit(Keyed(key, wish)))

    def restart_payment_svc(self) -> None:
        """Let the payment service forget the calls that it has under way."""
        self._run(self._calls_are_lost())
        self._start("payment_svc")

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
            ends = [self.bus.said[end, order.id] for end in (OrderCompleted, OrderFailed)]
            assert sum(ends) == 1, "its end is announced once"
            assert self.deliveries.announced[order.id] == 1, "its buyer is told once"
        assert +self.stock.reserved == Counter(), "an order that has ended holds nothing"
        taken = sum(intent.amount for intent in self.psp.captured())
        assert self.books.balances()["psp_clearing:stripe:EUR"] == -taken
        assert set(self.payments.webhooks.values()) <= {"applied"}, "no webhook contradicts what we know"

    # How it is put together.

    def _run(self, work: Awaitable[T]) -> T:
        """Return what a piece of work returns, once what it has set off has come as far as it can."""

        async def settled() -> T:
            result = await work
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            return result

        with capture_logs() as logs:
            result = self._loop.run_until_complete(settled())
        assert not [line for line in logs if line["event"] in _NEVER_LOGGED], logs
        return result

    async def _catalogue(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
        return {key: Price(key[1].title(), PRICES[key[1]], "EUR") for key in keys}

    async def _called(self, act: Callable[[], None]) -> None:
        act()

    async def _calls_are_lost(self) -> None:
        for call in self.psp.calls:
            call.answer.cancel()

    def _start(self, package: str) -> None:
        """Put a service together as its own bootstrap does; what it had in memory is gone."""
        runtime = SimulatedRuntime(package, self.bus, self._inboxes[package], self._clock, self._new_id)
        self._build(package, runtime)
        self.services[package] = runtime

    def _build(self, package: str, runtime: SimulatedRuntime) -> None:
        match package:
            case "order_svc":
                order_svc.bootstrap.build(
                    order_svc.settings.Settings(database_url=""),
                    runtime,
                    orders=lambda connection: self.orders,
                    reader=cast("Any", self.orders),
                    catalogue=self._catalogue,
                )
            case "inventory_svc":
                inventory_svc.bootstrap.build(
                    inventory_svc.settings.Settings(database_url=""),
                    runtime,
                    stockroom=lambda step: self.stock,
                    catalogue=lambda connection: cast("Any", None),
                )
            case "payment_svc":
                payment_svc.bootstrap.build(
                    # A look at the clock takes a millisecond: some buyers come back in time, some do not.
                    payment_svc.settings.Settings(
                        database_url="", psp_api_key="sk", psp_webhook_secret="whsec", action_ttl_s=0.1
                    ),
                    runtime,
                    payments=lambda connection: self.payments,
                    reader=self.payments,
                    psps=[self.psp],
                )
            case "ledger_svc":
                ledger_svc.bootstrap.build(
                    ledger_svc.settings.Settings(database_url=""),
                    runtime,
                    books=lambda connection: self.books,
                    ledger=self.books,
                )
            case "notification_svc":
                notification_svc.bootstrap.build(
                    notification_svc.settings.Settings(database_url=""),
                    runtime,
                    requests=lambda connection: self.deliveries,
                    deliveries=self.deliveries,
                )
            case _:
                raise AssertionError(f"nobody has said how {package} takes part in the saga")

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def _clock(self) -> datetime:
        """Return a later instant at each call."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=next(self._ticks))


def key_of(sku: str) -> ProductKey:
    """Return the key of a product of the shop."""
    return ProductKey(MERCHANT, sku)
