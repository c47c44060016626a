"""What a context stands on: its database, the bus, steps that join the two, and its background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import structlog
from google.protobuf.message import Message

from kit.messaging.bus import Bus
from kit.messaging.events import EventType
from kit.messaging.lateness import Lateness
from kit.messaging.outbox import Outbox
from kit.messaging.pump import Pump, Subscriptions
from kit.messaging.step import Step, Steps
from kit.observe.pulse import Pulse
from kit.rpc import Servicer
from kit.rpc.idempotency import Apply, IdempotentBatch, ReplayCache
from kit.runtime.background import of_every_context
from kit.runtime.settings import ContextSettings
from kit.store.batch import Gatherer
from kit.store.database import STORE_UNAVAILABLE, Database
from kit.values.clock import Clock, system_clock
from kit.values.ids import NewId, new_id
from kit.values.schedule import Schedule

C = TypeVar("C")
M = TypeVar("M", bound=Message)
R = TypeVar("R")
S = TypeVar("S")

log = structlog.get_logger(__name__)

# A worker that failed for another reason than its work's is tried again after this pause.
_WORKER_PAUSE_S: Final = 1.0

# How long a gathered batch of a busy context waits for neighbours, unless its owner knows better.
_LINGER_S: Final = 0.003
_MAX_ITEMS: Final = 200

# How long a caller waits for a place in a batch before it is told to come back. Few callers of most RPCs do
# that much at once; it is their time-outs that this has to be well below.
_PATIENCE_S: Final = 2.0


class Runtime:
    """One context's way to its stores, to the others and to its own background.

    `build` of a context registers what it consists of; the process that hosts it opens it, lets it work and
    closes it. At the end the doors are closed first, so that no new work comes in; then the workers end, each
    after the batch it has begun; then the closers run, in the reverse order of their registration.

    Args:
        name: of the context's package; signs events and confirms them.
        emits: kinds of events that it emits.
        consumers: by event: who has to confirm it.
        bus: in place of the one that the settings name.

    Attributes:
        servicers: what the process serves for it.
        pump: what events go through, once the context has said what it consumes.
        lateness: of those events.
        scope: makes what the use cases of one step are given.
        pulses: of the bus, its pump, its gatherers and what it does again and again, by name.
        kept_days: by table: how long its rows stay; see `kit/store/partitions.py`.
    """

    def __init__(
        self,
        name: str,
        settings: ContextSettings,
        *,
        emits: Iterable[EventType],
        consumers: Mapping[str, frozenset[str]],
        bus: Bus | None = None,
    ) -> None:
        database = Database(settings.database_url, pooled=settings.database_pooled)
        bus = bus or Bus(
            name=name,
            url=settings.nats_url,
            access=settings.nats_access,
            replicas=settings.nats_replicas,
        )
        outbox = Outbox(
            database,
            bus,
            source=name,
            types=emits,
            consumers=consumers,
            new_id=new_id,
            clock=system_clock,
        )
        self.name = name
        self.database = database
        self.bus = bus
        self.outbox = outbox
        self.steps = Steps(database, outbox)
        self.clock: Clock = system_clock
        self.lateness = Lateness(self.clock)
        self.new_id: NewId = new_id
        self.servicers: list[Servicer] = []
        self.pump: Pump[Any]
        self.scope: Callable[[Step], Any]
        self.doors: list[Callable[[], Awaitable[None]]] = []
        self._settings = settings
        self._replays: ReplayCache | None = None
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self._workers: dict[str, Callable[[], Awaitable[None]]] = {}
        self.gatherers: dict[str, Gatherer[Any, Any]] = {}
        self.pulses: dict[str, Pulse] = {"bus": bus.pulse}
        self.kept_days = {
            "inbox": settings.inbox_days,
            "dead_letters": settings.dead_letter_days,
            "idempotency_keys": 0,  # Each says itself until when.
        }
        self._tasks: list[asyncio.Task[None]] = []

    # What a context registers.

    def consume(self, subscriptions: Subscriptions[S], scope: Callable[[Step], S]) -> None:
        """Act on events: each in the use case that the table names, with what `scope` makes for the step."""
        self.pump = Pump(
            bus=self.bus,
            steps=self.steps,
            consumer=self.name,
            subscriptions=subscriptions,
            scope=scope,
            new_id=self.new_id,
            lateness=self.lateness,
            linger_s=self._settings.event_linger_ms / 1000,
        )
        self.scope = scope
        self.worker("pump", self.pump.run, pulse=self.pump.pulse)

    def gather(
        self,
        name: str,
        handle: Callable[[list[C]], Awaitable[Sequence[R | Exception]]],
        *,
        max_items: int = _MAX_ITEMS,
        linger_s: float = _LINGER_S,
        patience_s: float | None = _PATIENCE_S,
    ) -> Gatherer[C, R]:
        """Return a gatherer that turns single calls into batches, from the context's start to its end."""
        gatherer = Gatherer(handle, name=name, max_items=max_items, linger_s=linger_s, patience_s=patience_s)
        self.gatherers[name] = gatherer
        self.pulses[f"{name} gatherer"] = gatherer.pulse
        self.closers.append(gatherer.stop)
        return gatherer

    def once(self, apply: Apply[C, M], response: type[M]) -> IdempotentBatch[C, M]:
        """Return a handler of keyed commands that runs `apply` as one step, each key once."""
        if self._replays is None:
            self._replays = ReplayCache(self._settings.redis_url)
            self.closers.insert(0, self._replays.close)
        return IdempotentBatch(steps=self.steps, cache=self._replays, apply=apply, response=response)

    def worker(self, name: str, run: Callable[[], Awaitable[None]], *, pulse: Pulse | None = None) -> None:
        """Run `run` in the background, again if it fails; `pulse` tells whether it moves."""
        assert name not in self._workers, f"{self.name} has two workers called {name}"
        self._workers[name] = run
        if pulse is not None:
            self.pulses[name] = pulse

    def every(self, schedule: Schedule, run: Callable[[], Awaitable[object]]) -> None:
        """Run `run` again and again with a pause; a failure is logged and does not stop it."""

        pause_s = schedule.every_s

        async def repeat() -> None:
            nonlocal pause_s
            pulse = self.pulses[schedule.name]
            pulse.expect()
            while True:
                await asyncio.sleep(pause_s)
                pause_s = schedule.every_s
                try:
                    await run()
                except STORE_UNAVAILABLE:
                    pulse.waits_for("its store")
                    # It stays due: with a pause of minutes, the process would not serve for as long.
                    pause_s = 0.0
                    raise
                except Exception as error:
                    # It moves and fails: told, but taking all other work away mends nothing.
                    pulse.failed(error)
                    raise
                pulse.beat()

        pulse = Pulse(within_s=schedule.every_s + schedule.within_s)
        self.worker(schedule.name, repeat, pulse=pulse)

    def keep(self, table: str, *, days: int) -> None:
        """Let go of a table's rows after so many days; its revision has said that they may go."""
        self.kept_days[table] = days

    def serve(self, name: str, register: Callable[[Any, Any], None], implementation: object) -> None:
        """Answer the RPCs of a gRPC service: its full name and the generated `add_…_to_server`."""
        self.servicers.append(Servicer(name, register, implementation))

    # What its process does with it.

    async def open(self) -> None:
        """Open the stores and be ready to answer."""
        await self.database.open()
        await self.bus.open()
        await self.bus.on_confirm(self.outbox.confirm)
        of_every_context(self.every, self.database, self.outbox, self.kept_days)
        for gatherer in self.gatherers.values():
            gatherer.start()

    def start(self) -> None:
        """Start the background work."""
        self._tasks = [
            asyncio.create_task(self._keep_running(name, run), name=f"{self.name} {name}")
            for name, run in self._workers.items()
        ]

    async def close(self) -> None:
        """Finish what was begun and close everything, once no new work can come in by RPC.

        Whatever fails on the way is raised at the end; all the rest is closed.
        """
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self.database.close)
            last_first.push_async_callback(self.bus.close)
            last_first.push_async_callback(self.outbox.finish)
            for closer in self.closers:
                last_first.push_async_callback(closer)
            last_first.push_async_callback(self._end_workers)
            for close_door in reversed(self.doors):
                last_first.push_async_callback(close_door)

    async def _end_workers(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
                return
            except STORE_UNAVAILABLE as error:
                log.warning("worker.waits_for_store", context=self.name, worker=name, error=repr(error))
            except Exception as error:  # the boundary of a worker: it is started again
                log.error("worker.failed", context=self.name, worker=name, exc_info=error)
            if (task := asyncio.current_task()) and task.cancelling():
                return  # It was to end, and failed at that.
            await asyncio.sleep(_WORKER_PAUSE_S)
