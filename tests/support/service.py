"""A service without a broker: what it publishes is recorded, what it receives is handed to it.

```python
shop = Scenario(runtime, SUBSCRIPTIONS, scope)
await shop.given(OrderPlaced(order_id="ord_1", ...))
await shop.when(PaymentFailed(order_id="ord_1", ...))
shop.then(StockReleased(order_id="ord_1", ...))
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit.messaging.bus import Bus, Envelope
from kit.messaging.events import EventType, event_type
from kit.messaging.outbox import Outbox
from kit.messaging.pump import Pump, Subscriptions
from kit.messaging.step import Step, Steps
from kit.runtime.service import Runtime
from kit.store.database import Database
from kit.values.clock import system_clock
from kit.values.ids import new_id
from kit.values.trail import Trail

S = TypeVar("S")


class RecordingBus(Bus):
    """A bus to nowhere: remembers what was published and confirmed.

    Attributes:
        published: envelopes in the order they were sent, resends included.
        confirmed: (consumer, where to, event ids) of each confirmation.
        down: while true, whatever is published is lost, as if the broker were away.
    """

    def __init__(self, name: str = "recording") -> None:
        super().__init__(name=name, url="nats://nowhere.invalid")
        self.published: list[Envelope] = []
        self.confirmed: list[tuple[str, str, list[str]]] = []
        self.down = False

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def publish(self, envelope: Envelope) -> None:
        """Remember the envelope."""
        if not self.down:
            self.published.append(envelope)

    async def confirm(self, consumer: str, confirm_to: str, event_ids: Sequence[str]) -> None:
        """Remember the confirmation."""
        self.confirmed.append((consumer, confirm_to, list(event_ids)))

    def take(self) -> list[Envelope]:
        """Return what was published since the last call."""
        taken, self.published = self.published, []
        return taken


def recorded(runtime: Runtime) -> RecordingBus:
    """Return the runtime's bus, which is a recording one."""
    assert isinstance(runtime.bus, RecordingBus)
    return runtime.bus


@asynccontextmanager
async def recording_runtime(
    name: str, database_url: str, emits: Iterable[EventType] = ()
) -> AsyncIterator[Runtime]:
    """Lend the open runtime of a service whose bus only records; what it is to close is closed."""
    database = Database(database_url)
    bus = RecordingBus(name)
    outbox = Outbox(database, bus, source=name, types=emits, new_id=new_id, clock=system_clock)
    runtime = Runtime(name, database, bus, outbox, Steps(database, outbox))
    await database.open()
    try:
        yield runtime
    finally:
        for closer in reversed(runtime.closers):
            await closer()
        await database.close()


def envelope_of(
    message: Message,
    *,
    event_id: str = "",
    aggregate_id: str = "",
    trail: Trail | None = None,
    attempt: int = 1,
    confirm_to: str = "confirm.test",
) -> Envelope:
    """Return an event on its way, as its owner would send it.

    Args:
        event_id: a fresh one if empty; give it to send the same event twice.
        aggregate_id: the message's `order_id` if empty.
    """
    kind = event_type(type(message))
    return Envelope(
        id=event_id or new_id("evt"),
        type=kind,
        source=f"{kind.owner}_svc",
        aggregate_id=aggregate_id or str(getattr(message, "order_id", "")),
        payload=message.SerializeToString(),
        trail=trail or Trail("cor_test"),
        time=datetime.now(UTC),
        confirm_to=confirm_to,
        attempt=attempt,
    )


def delivered(event: Message | Envelope) -> Msg:
    """Return the event as the broker delivers it."""
    envelope = event if isinstance(event, Envelope) else envelope_of(event)
    return Msg(
        _client=Client(),
        subject=envelope.type.subject(envelope.aggregate_id),
        data=envelope.payload,
        headers=envelope.headers(),
    )


def opened(envelopes: Iterable[Envelope]) -> list[Message]:
    """Return the messages of envelopes."""
    return [envelope.type.message.FromString(envelope.payload) for envelope in envelopes]


async def handle(
    runtime: Runtime,
    subscriptions: Subscriptions[S],
    scope: Callable[[Step], S],
    *events: Message | Envelope,
    times: int = 1,
) -> list[Message]:
    """Push events through one pump of the service as one batch, and return what it published meanwhile.

    Args:
        times: how often the same batch comes.
    """
    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=runtime.name,
        subscriptions=subscriptions,
        scope=scope,
        new_id=new_id,
    )
    bus = recorded(runtime)
    before = len(bus.published)
    for _ in range(times):
        await pump.handle([delivered(event) for event in events])
    return opened(bus.published[before:])


class Scenario(Generic[S]):
    """A service that events happen to: what is given, what happens, and what it then says."""

    def __init__(self, runtime: Runtime, subscriptions: Subscriptions[S], scope: Callable[[Step], S]) -> None:
        self.runtime = runtime
        self._subscriptions = subscriptions
        self._scope = scope
        self._emitted: list[Message] = []

    async def given(self, *events: Message | Envelope) -> None:
        """Let events happen whose consequences are not what the test is about."""
        await handle(self.runtime, self._subscriptions, self._scope, *events)

    async def when(self, *events: Message | Envelope, times: int = 1) -> list[Message]:
        """Let events happen together, as one batch that comes `times`, and return what the service says."""
        self._emitted = await handle(self.runtime, self._subscriptions, self._scope, *events, times=times)
        return self._emitted

    def then(self, *expected: Message) -> None:
        """Expect these events of the last `when`, in order, and no others."""
        assert self._emitted == list(expected)

    def then_nothing(self) -> None:
        """Expect that the last `when` had no consequence for others."""
        assert self._emitted == []

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return what a query finds in the service's database."""
        async with self.runtime.database.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()
