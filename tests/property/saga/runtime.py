"""A runtime without stores, a network or time, on which the services' own bootstraps build.

What a context registers is kept by its name, for the test to drive; batches are of one and handled at once;
a step commits in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from kit.messaging.events import Received
from kit.messaging.lateness import Lateness
from kit.messaging.pump import Handler, Subscriptions
from kit.messaging.step import Step
from kit.observe.pulse import Pulse
from kit.rpc.idempotency import Answer, Keyed
from kit.runtime.context import Runtime
from kit.values.clock import Clock
from kit.values.ids import NewId
from kit.values.schedule import Schedule
from tests.property.saga.bus import Bus, Parcel

NO_CONNECTION: Final[Any] = None


class SimulatedRuntime(Runtime):
    """The runtime of one context.

    Attributes:
        gathered: what calls are submitted to, by name.
        background: what the context does again and again, by name.
    """

    def __init__(
        self,
        name: str,
        bus: Bus,
        inbox: set[str],
        clock: Clock,
        new_id: NewId,
    ) -> None:
        # None of the parts of the real one: what a context is built with takes the stores' place.
        self.name = name
        self.steps = Steps(bus)  # type: ignore[assignment]  # does in memory what the real one does
        self.clock = clock
        self.lateness = Lateness(clock)
        self.new_id = new_id
        self.database = NO_CONNECTION
        self.closers = []
        self.doors = []
        self.gathered: dict[str, AtOnce] = {}
        self.background: dict[str, Callable[[], Awaitable[object]]] = {}
        self.consumer: Consumer
        self._bus = bus
        self._inbox = inbox

    def consume(self, subscriptions: Subscriptions[Any], scope: Callable[[Step], Any]) -> None:
        """Act on what the bus delivers."""
        self.consumer = Consumer(self._bus, self._inbox, subscriptions, scope)

    def gather(self, name: str, handle: Any, **bounds: Any) -> Any:
        """Handle calls as they come."""
        self.gathered[name] = AtOnce(handle)
        return self.gathered[name]

    def once(self, apply: Any, response: Any) -> Any:
        """Run keyed commands as one step; no caller of this shop repeats a key."""

        async def run(calls: Sequence[Keyed[Any]]) -> list[Any]:
            results = await self.steps.take(lambda step: apply(step, [call.command for call in calls]))
            return [r if isinstance(r, Exception) else Answer(r, replayed=False) for r in results]

        return run

    def every(self, schedule: Schedule, run: Callable[[], Awaitable[object]]) -> None:
        """Leave it to the test when."""
        self.background[schedule.name] = run

    def worker(self, name: str, run: Callable[[], Awaitable[None]], *, pulse: Pulse | None = None) -> None:
        """Leave it."""

    def keep(self, table: str, *, days: int) -> None:
        """Forget nothing."""

    def serve(self, name: str, register: Any, implementation: object) -> None:
        """Leave it: the test calls what stands behind the RPCs."""


class AtOnce:
    """A gatherer that waits for nobody."""

    def __init__(self, handle: Callable[[list[Any]], Awaitable[Sequence[Any]]]) -> None:
        self.handle = handle

    async def submit(self, item: Any) -> Any:
        """Return the result of one item."""
        [result] = await self.handle([item])
        if isinstance(result, Exception):
            raise result
        return result


class Steps:
    """Takes steps in memory: what they emit is stored, then sent, then what follows their commit is done."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def take(self, body: Callable[[Step], Awaitable[Any]]) -> Any:
        """Run `body` as one step and return its result."""
        step = Step(NO_CONNECTION)
        result = await body(step)
        self._bus.send(self._bus.store(step.events))
        for hook in step.hooks:
            hook()
        return result


class Consumer:
    """Acts on events with its inbox; does in memory what `kit.messaging.pump.Pump` does with a database."""

    def __init__(
        self, bus: Bus, inbox: set[str], subscriptions: Subscriptions[Any], scope: Callable[[Step], Any]
    ) -> None:
        self._bus = bus
        self._inbox = inbox
        self._subscriptions = subscriptions
        self._scope = scope

    async def handle(self, parcels: Sequence[Parcel], *, dies_after_commit: bool = False) -> None:
        """Handle a batch as one step: each event once, whoever sends it how often."""
        groups: dict[Handler[Any], list[Received[Any]]] = defaultdict(list)
        for parcel in parcels:
            if parcel.event.id not in self._inbox:
                self._inbox.add(parcel.event.id)
                groups[self._subscriptions[type(parcel.event.message)]].append(parcel.event)
        step = Step(NO_CONNECTION)
        scope = self._scope(step)
        for handler in dict.fromkeys(self._subscriptions.values()):
            if events := groups.get(handler):
                step.emit(await handler(scope, events))
        to_send = self._bus.store(step.events)
        if dies_after_commit:
            return
        self._bus.send(to_send)
        for hook in step.hooks:
            hook()
        self._bus.confirm(parcels)
