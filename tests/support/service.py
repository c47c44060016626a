"""A service without a broker: what it publishes is recorded, what it receives is handed to it.

```python
shop = Scenario(runtime)
await shop.given(OrderPlaced(order_id="ord_1", ...))
await shop.when(PaymentFailed(order_id="ord_1", ...))
shop.then(StockReleased(order_id="ord_1", ...))
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit.messaging.bus import Bus
from kit.messaging.envelope import Envelope
from kit.messaging.events import Aggregate, EventType, event_type
from kit.messaging.pump import MAX_ATTEMPTS, PATIENCE_S, Pump, Subscriptions
from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.runtime.settings import ContextSettings
from kit.store.batch import Gatherer
from kit.values.ids import new_id
from kit.values.schedule import Schedule
from kit.values.trail import Trail
from roster import ROSTER

S = TypeVar("S")

# An address at which nobody answers.
NOWHERE: Final = "redis://127.0.0.1:1/0"


class RecordingBus(Bus):
    """A bus to nowhere: remembers what was published and confirmed.

    Attributes:
        published: envelopes in the order they were sent, resends included.
        confirmed: (consumer, where to, event ids) of each confirmation.
        down: while true, whatever is published is lost, as if the broker were away.
        has_stream: while false, it says that it keeps nothing of what is published.
        backlogs: of consumers that are behind, or None for one that is not there; all others wait for events.
    """

    def __init__(self, name: str = "recording") -> None:
        super().__init__(name=name, url="nats://nowhere.invalid")
        self.published: list[Envelope] = []
        self.confirmed: list[tuple[str, str, list[str]]] = []
        self.down = False
        self.has_stream = True
        self.backlogs: dict[str, int | None] = {}

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

    async def takes_events(self) -> bool:
        """Return what the test says."""
        return self.has_stream

    async def backlog(self, consumer: str) -> int | None:
        """Return what the test says."""
        return self.backlogs.get(consumer, 0)

    def take(self) -> list[Envelope]:
        """Return what was published since the last call."""
        taken, self.published = self.published, []
        return taken


class RecordingRuntime(Runtime):
    """A runtime whose bus only records, and whose batches and background run when a test says so.

    Attributes:
        handlers: what the context's gatherers hand their batches to, by name.
        background: what it does again and again, by name.
    """

    def __init__(
        self,
        name: str,
        database_url: str,
        emits: Iterable[EventType],
        consumers: Mapping[str, frozenset[str]] = ROSTER.consumers,
        **settings: Any,
    ) -> None:
        own = ContextSettings(database_url=database_url, **settings)
        super().__init__(name, own, emits=emits, consumers=consumers, bus=RecordingBus(name))
        self.handlers: dict[str, Callable[[list[Any]], Awaitable[Sequence[Any]]]] = {}
        self.background: dict[str, Callable[[], Awaitable[object]]] = {}

    def gather(self, name: str, handle: Any, **bounds: Any) -> Gatherer[Any, Any]:
        """Remember the handler."""
        self.handlers[name] = handle
        return super().gather(name, handle, **bounds)

    def every(self, schedule: Schedule, run: Callable[[], Awaitable[object]]) -> None:
        """Remember the work."""
        self.background[schedule.name] = run
        super().every(schedule, run)


def recorded(runtime: Runtime) -> RecordingBus:
    """Return the runtime's bus, which is a recording one."""
    assert isinstance(runtime.bus, RecordingBus)
    return runtime.bus


def wired(package: str, database_url: str, settings: Mapping[str, Any], **fakes: Any) -> RecordingRuntime:
    """Return a context as its own bootstrap puts it together, on a runtime whose bus only records.

    Args:
        settings: of the context, by field.
        fakes: handed to `build`, in place of real things.
    """
    emits = import_module(f"{package}.transport.events").EMITS
    runtime = RecordingRuntime(package, database_url, emits, redis_url=settings.get("redis_url", NOWHERE))
    own = import_module(f"{package}.settings").Settings(database_url=database_url, **settings)
    import_module(f"{package}.bootstrap").build(own, runtime, **fakes)
    return runtime


def envelope_of(
    message: Message,
    *,
    event_id: str = "",
    aggregate: Aggregate | None = None,
    trail: Trail | None = None,
    attempt: int = 1,
    confirm_to: str = "confirm.test",
) -> Envelope:
    """Return an event on its way, as its owner would send it.

    Args:
        event_id: a fresh one if empty; give it to send the same event twice.
        aggregate: the order that the message names, if it is not given.
    """
    kind = event_type(type(message))
    return Envelope(
        id=event_id or new_id("evt"),
        type=kind,
        source=ROSTER.named(kind.owner).package,
        aggregate=aggregate or Aggregate("order", str(getattr(message, "order_id", ""))),
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
        subject=envelope.subject,
        data=envelope.payload,
        headers=envelope.headers(),
    )


def opened(envelopes: Iterable[Envelope]) -> list[Message]:
    """Return the messages of envelopes."""
    return [envelope.type.message.FromString(envelope.payload) for envelope in envelopes]


async def handle(
    runtime: Runtime,
    pump: Pump[Any],
    *events: Message | Envelope,
    times: int = 1,
) -> list[Message]:
    """Push events through a pump of the service as one batch, and return what it published meanwhile.

    Args:
        times: how often the same batch comes.
    """
    bus = recorded(runtime)
    before = len(bus.published)
    for _ in range(times):
        await pump.handle([delivered(event) for event in events])
    return opened(bus.published[before:])


async def handle_until_given_up(runtime: Runtime, pump: Pump[Any], event: Envelope) -> list[Message]:
    """Push an event through a pump as often, and over as long a time, as makes a dead letter of it."""
    said = await handle(runtime, pump, event)
    clock = pump._monotonic
    pump._monotonic = lambda: clock() + PATIENCE_S
    try:
        return said + await handle(runtime, pump, replace(event, attempt=event.attempt + MAX_ATTEMPTS))
    finally:
        pump._monotonic = clock


def pump_of(runtime: Runtime, subscriptions: Subscriptions[S], scope: Callable[[Step], S]) -> Pump[S]:
    """Return a pump of the service that acts on events as the test wants."""
    return Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=runtime.name,
        subscriptions=subscriptions,
        scope=scope,
        new_id=new_id,
    )


class Scenario(Generic[S]):
    """A service that events happen to: what is given, what happens, and what it then says.

    Args:
        pump: what the events go through; the service's own if it is not given.
    """

    def __init__(self, runtime: RecordingRuntime, pump: Pump[S] | None = None) -> None:
        self.runtime = runtime
        self._pump = pump or runtime.pump
        self._emitted: list[Message] = []

    async def given(self, *events: Message | Envelope) -> None:
        """Let events happen whose consequences are not what the test is about."""
        await handle(self.runtime, self._pump, *events)

    async def when(self, *events: Message | Envelope, times: int = 1) -> list[Message]:
        """Let events happen together, as one batch that comes `times`, and return what the service says."""
        self._emitted = await handle(self.runtime, self._pump, *events, times=times)
        return self._emitted

    async def when_given_up(self, event: Envelope) -> list[Message]:
        """Let an event happen again and again until it is a dead letter, unless it succeeds."""
        self._emitted = await handle_until_given_up(self.runtime, self._pump, event)
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
