"""Events on their way: late, twice, out of order or lost, but kept by their sender until they are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeVar

from kit.messaging.events import NewEvent, Received, event_type
from kit.messaging.pump import Handler, Subscriptions

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One copy of an event on its way to one consumer."""

    consumer: str
    event: Received[Any]


class Bus:
    """All outboxes, and what is under way between the services.

    Attributes:
        under_way: copies that have not arrived; a test may hand over, double or remove any of them.
        sent: all there ever was to send.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.under_way: list[Parcel] = []
        self.sent: list[Parcel] = []
        self._clock = clock
        self._unconfirmed: dict[tuple[str, str], Parcel] = {}
        self._numbers = count(1)

    @property
    def quiet(self) -> bool:
        """Whether every consumer has confirmed every event that was meant for it."""
        return not self._unconfirmed

    def store(self, events: Iterable[NewEvent]) -> list[Parcel]:
        """Keep the events of a step that commits, and return what is to be sent of them."""
        stored: list[Parcel] = []
        for event in events:
            event_id = f"evt_{next(self._numbers)}"
            received = Received(event_id, event.message, event.trail, self._clock())
            for consumer in sorted(event_type(type(event.message)).consumers):
                parcel = self._unconfirmed[consumer, event_id] = Parcel(consumer, received)
                stored.append(parcel)
        self.sent += stored
        return stored

    def send(self, parcels: Iterable[Parcel]) -> None:
        """Send copies on their way."""
        self.under_way += parcels

    def resend(self) -> None:
        """Send everything again that nobody has confirmed, as every outbox does now and then."""
        self.send(self._unconfirmed.values())

    def confirm(self, parcels: Iterable[Parcel]) -> None:
        """Forget what a consumer is done with; late copies stay under way."""
        for parcel in parcels:
            self._unconfirmed.pop((parcel.consumer, parcel.event.id), None)


class Service(Generic[S]):
    """A consumer with its inbox; does in memory what `kit.messaging.pump.Pump` does with a database.

    Args:
        scope: makes what handlers are given, and the list of what they want done after the commit.
    """

    def __init__(
        self,
        name: str,
        bus: Bus,
        subscriptions: Subscriptions[S],
        scope: Callable[[list[Callable[[], None]]], S],
    ) -> None:
        self.name = name
        self._bus = bus
        self._subscriptions = subscriptions
        self._scope = scope
        self._inbox: set[str] = set()

    async def handle(self, parcels: Sequence[Parcel], *, dies_after_commit: bool = False) -> None:
        """Handle a batch as one step: each event once, whoever sends it how often."""
        groups: dict[Handler[S], list[Received[Any]]] = defaultdict(list)
        for parcel in parcels:
            if parcel.event.id not in self._inbox:
                self._inbox.add(parcel.event.id)
                groups[self._subscriptions[type(parcel.event.message)]].append(parcel.event)
        hooks: list[Callable[[], None]] = []
        scope = self._scope(hooks)
        emitted: list[NewEvent] = []
        for handler in dict.fromkeys(self._subscriptions.values()):
            if events := groups.get(handler):
                emitted += await handler(scope, events)
        to_send = self._bus.store(emitted)
        if dies_after_commit:
            return
        self._bus.send(to_send)
        for hook in hooks:
            hook()
        self._bus.confirm(parcels)
