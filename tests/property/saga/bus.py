"""Events on their way: late, twice, out of order or lost, but kept by their sender until they are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from google.protobuf.message import Message

from kit.messaging.events import NewEvent, Received, event_type
from roster import ROSTER


@dataclass(frozen=True, slots=True)
class Parcel:
    """One copy of an event on its way to one consumer."""

    consumer: str
    event: Received[Any]


class Bus:
    """All outboxes, and what is under way between the services.

    Args:
        cast: those whom it delivers to.

    Attributes:
        under_way: copies that have not arrived; a test may hand over, double or remove any of them.
        sent: all there ever was to send.
        said: how often which kind of event was emitted about whom.
    """

    def __init__(self, clock: Callable[[], datetime], cast: Iterable[str]) -> None:
        self.under_way: list[Parcel] = []
        self.sent: list[Parcel] = []
        self.said: Counter[tuple[type[Message], str]] = Counter()
        self._clock = clock
        self._cast = frozenset(cast)
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
            self.said[type(event.message), event.aggregate.id] += 1
            for consumer in sorted(self._cast & ROSTER.consumers[event_type(type(event.message)).name]):
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
