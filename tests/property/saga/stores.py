"""The services' ports in memory. What a constraint refuses in Postgres is an assertion here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from inventory_svc.application.ports import Survey
from inventory_svc.domain.reservation import Reservation
from inventory_svc.domain.reservation import Status as ReservationStatus
from inventory_svc.domain.stock import ProductKey, StockChange, StockLevel
from ledger_svc.application.ports import Balance
from ledger_svc.domain.journal import Code, Journal, Posting
from notification_svc.domain.delivery import Delivery, Move, Template
from order_svc.application.ports import TimelineStep
from order_svc.domain.order import TRANSITIONS, Order, Status
from payment_svc.application.ports import Webhook
from payment_svc.domain.attempt import UNDECIDED, Attempt, State
from payment_svc.domain.decision import Decided
from payment_svc.domain.payment import Payment
from payment_svc.domain.payment import Status as PaymentStatus


class Orders:
    """The tables of the order service."""

    def __init__(self) -> None:
        self.by_id: dict[str, Order] = {}
        self.timeline: dict[tuple[str, str], TimelineStep] = {}

    async def add(self, orders: Sequence[Order]) -> None:
        for order in orders:
            assert order.id not in self.by_id, f"{order.id} is placed twice"
            self.by_id[order.id] = order

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        return {order_id: self.by_id[order_id] for order_id in order_ids if order_id in self.by_id}

    async def save(self, orders: Sequence[Order]) -> None:
        for order in orders:
            before = self.by_id[order.id]
            moved = order.status is not before.status
            # A batch may hold several moves; the last of them leads to an end only if it was legal.
            assert not moved or TRANSITIONS[before.status], f"{order.id} left its end {before.status}"
            assert order.version > before.version or not moved, f"{order.id} moved without a new version"
            assert (order.ended_at is not None) == order.ended, f"{order.id} ends at no time"
            assert (order.reason != "") == (order.status is Status.FAILED), f"{order.id} has a wrong reason"
            self.by_id[order.id] = order

    async def record(self, steps: Sequence[TimelineStep]) -> None:
        for step in steps:
            self.timeline.setdefault((step.order_id, step.event_id), step)

    async def changed(self, versions: Mapping[str, int]) -> list[Order]:
        """Return nothing: nobody watches."""
        return []

    async def count_open(self, since: datetime, at_most: int) -> int:
        young = (order for order in self.by_id.values() if order.created_at > since)
        return min(at_most, sum(order.status is Status.PROCESSING for order in young))


class Stockroom:
    """The tables of the inventory service."""

    def __init__(self) -> None:
        self.on_hand: Counter[ProductKey] = Counter()
        self.reserved: Counter[ProductKey] = Counter()
        self.sold: Counter[ProductKey] = Counter()
        self.received: Counter[ProductKey] = Counter()
        self.by_order: dict[str, Reservation] = {}
        self._versions: Counter[ProductKey] = Counter()

    def receive(self, product: ProductKey, units: int) -> None:
        """Take a delivery of units."""
        self.on_hand[product] += units
        self.received[product] += units

    async def survey(self, order_ids: Collection[str], products: Collection[ProductKey]) -> Survey:
        levels = {
            key: StockLevel(self.on_hand[key], self.reserved[key], self._versions[key])
            for key in products
            if key in self.received
        }
        return Survey(levels, frozenset(self.by_order) & frozenset(order_ids))

    async def reservations(self, order_ids: Collection[str]) -> dict[str, Reservation]:
        return {order_id: self.by_order[order_id] for order_id in order_ids if order_id in self.by_order}

    async def add(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        for reservation in reservations:
            assert reservation.order_id not in self.by_order, f"{reservation.order_id} holds stock twice"
        self._write(reservations, changes)

    async def move(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        for reservation in reservations:
            assert reservation.version > self.by_order[reservation.order_id].version
        self._write(reservations, changes)

    def _write(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        self.by_order.update({reservation.order_id: reservation for reservation in reservations})
        for change in changes:
            assert change.expected_version in (None, self._versions[change.product])
            self.on_hand[change.product] += change.on_hand
            self.reserved[change.product] += change.reserved
            self.sold[change.product] += change.sold
            self._versions[change.product] += 1

    def state_of(self, order_id: str) -> ReservationStatus | None:
        """Return what became of the units of an order; None if it never held any."""
        reservation = self.by_order.get(order_id)
        return reservation.status if reservation else None


class Payments:
    """The tables of the payment service.

    Args:
        charging: whether a call may be under way that charges a payment: as long as its leave holds.
    """

    def __init__(self, charging: Callable[[str], bool]) -> None:
        self._charging = charging
        self.by_id: dict[str, Payment] = {}
        self.webhooks: dict[tuple[str, str], str] = {}
        self.decided: list[Decided] = []
        self._due: list[str] = []

    async def add(self, payments: Sequence[Payment]) -> list[Payment]:
        new: list[Payment] = []
        for payment in payments:
            if payment.order_id not in {known.order_id for known in self.by_id.values()}:
                self.by_id[payment.id] = payment
                new.append(payment)
        return new

    async def lock(self, payment_ids: Sequence[str]) -> dict[str, Payment]:
        return {each: self._with_leave(self.by_id[each]) for each in payment_ids if each in self.by_id}

    def _with_leave(self, payment: Payment) -> Payment:
        current = replace(payment.current, has_leave=self._charging(payment.id))
        return replace(payment, attempts=(*payment.attempts[:-1], current))

    async def take_leave(
        self, payments: Sequence[Payment], key_lifetimes: Mapping[str, timedelta]
    ) -> Sequence[bool]:
        return [self._may_be_charged(payment, self.by_id[payment.id].current) for payment in payments]

    def _may_be_charged(self, payment: Payment, now: Attempt) -> bool:
        open_ = now.state is State.OPEN and not now.psp_reference
        return open_ and now.number == payment.current.number

    async def save(self, before: Mapping[str, Payment], after: Sequence[Payment]) -> None:
        for payment in after:
            assert payment.amount_captured in (0, payment.amount), f"{payment.id} was captured in part"
            in_play = [attempt for attempt in payment.attempts if attempt.state is not State.ENDED]
            assert len(in_play) <= 1, f"{payment.id} is charged twice at once"
            assert (payment.status is PaymentStatus.CAPTURED) == any(
                attempt.state is State.DONE for attempt in payment.attempts
            )
            self.by_id[payment.id] = payment

    async def store_webhooks(self, webhooks: Sequence[Webhook]) -> frozenset[tuple[str, str]]:
        fresh = frozenset((webhook.psp, webhook.event_id) for webhook in webhooks) - self.webhooks.keys()
        self.webhooks.update(dict.fromkeys(fresh, "applied"))
        return fresh

    async def note_outcomes(self, outcomes: Sequence[tuple[Webhook, str]]) -> None:
        self.webhooks.update({(webhook.psp, webhook.event_id): outcome for webhook, outcome in outcomes})

    async def record(self, decisions: Sequence[Decided]) -> None:
        self.decided.extend(decisions)

    async def get(self, payment_id: str) -> Payment | None:
        return self.by_id.get(payment_id)

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        """Return undecided ones that are due, each once a sweep."""
        claimed, self._due = self._due[:limit], self._due[limit:]
        return [replace(self.by_id[each], attempts=(self.by_id[each].current,)) for each in claimed]

    def all_are_due(self) -> None:
        """Let the next sweep look at whatever is undecided."""
        undecided = (each for each in self.by_id.values() if each.current.state in UNDECIDED)
        self._due = [payment.id for payment in undecided]


class Books:
    """The tables of the ledger service."""

    def __init__(self) -> None:
        self.by_key: dict[str, Journal] = {}

    async def post(self, journals: Sequence[Journal]) -> list[Posting]:
        return [self._post(journal) for journal in journals]

    post_together = post

    async def balance(self, account: str) -> Balance | None:
        raise AssertionError("nobody asks for a balance")

    async def close_stretch(self, max_entries: int) -> int:
        return 0

    async def unsealed_s(self) -> float:
        return 0.0

    async def open_halts(self) -> list[str]:
        return []

    def _post(self, journal: Journal) -> Posting:
        known = self.by_key.get(journal.business_key)
        if known is not None:
            return Posting(journal.business_key, Code.POSTED_BEFORE, known.id)
        if sum(entry.amount for entry in journal.entries) != 0:
            return Posting(journal.business_key, Code.UNBALANCED, "")
        self.by_key[journal.business_key] = journal
        return Posting(journal.business_key, Code.POSTED, journal.id)

    def of_order(self, order_id: str) -> list[Journal]:
        """Return the journals of an order."""
        return [journal for journal in self.by_key.values() if journal.order_id == order_id]

    def balances(self) -> Counter[str]:
        """Return what stands on each account."""
        balances: Counter[str] = Counter()
        for journal in self.by_key.values():
            for entry in journal.entries:
                balances[entry.account] += entry.amount
        return balances


class Deliveries:
    """The tables of the notification service."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[str, Template, str], Delivery] = {}

    async def add(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        new: list[Delivery] = []
        for delivery in deliveries:
            key = (delivery.order_id, delivery.template, delivery.channel)
            if key not in self.by_key:
                self.by_key[key] = delivery
                new.append(delivery)
        return new

    async def claim_due(self, limit: int, *, but_not: Collection[str] = ()) -> list[Delivery]:
        return []

    async def move(self, moves: Sequence[Move]) -> None:
        raise AssertionError("nothing is sent from here")

    async def of_order(self, order_id: str) -> list[Delivery]:
        return [delivery for delivery in self.by_key.values() if delivery.order_id == order_id]

    @property
    def announced(self) -> Counter[str]:
        """How often buyers were told of an order."""
        return Counter(delivery.order_id for delivery in self.by_key.values())
