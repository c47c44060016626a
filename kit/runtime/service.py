"""The life of a service process: `python -m <service> serve | migrate | check`."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
import uvloop

from kit.messaging import inbox
from kit.messaging.bus import Bus
from kit.messaging.events import EventType
from kit.messaging.outbox import Outbox
from kit.messaging.step import Steps
from kit.observe import logs, telemetry
from kit.rpc import Server, idempotency
from kit.runtime.settings import ServiceSettings
from kit.store.batch import Gatherer
from kit.store.database import STORE_UNAVAILABLE, Database
from kit.values.clock import system_clock
from kit.values.ids import new_id

log = structlog.get_logger(__name__)

# How often confirmed events are cleared and due ones sent again.
_FORGET_INTERVAL_S: Final = 0.25
_RESEND_INTERVAL_S: Final = 1.0

# How often memories of events and keys that are too old to come again are cleared, some thousand at a time.
_PRUNE_INTERVAL_S: Final = 10.0

# A worker that failed for another reason than its work's is tried again after this pause.
_WORKER_PAUSE_S: Final = 1.0

# Containers made and not yet freed before the collector looks for cycles: a few megabytes. The default,
# 700, is reached within a batch, whose objects are all still in use.
_COLLECT_AFTER: Final = (50_000, 10, 10)


@dataclass(slots=True)
class Runtime:
    """What every service stands on: its database, the bus, and steps that join the two.

    At shutdown the doors are closed first, so that no new work comes in; then the workers end, each after
    the batch it has begun; then the closers run, in the reverse order of their registration.
    """

    name: str
    database: Database
    bus: Bus
    outbox: Outbox
    steps: Steps
    workers: list[tuple[str, Callable[[], Awaitable[None]]]] = field(default_factory=list)
    openers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    doors: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @classmethod
    def build(cls, name: str, settings: ServiceSettings, emits: Iterable[EventType]) -> Runtime:
        """Return the runtime of a service that emits these kinds of events."""
        database = Database(settings.database_url)
        bus = Bus(name=f"{name}-{settings.replica_index + 1}", url=settings.nats_url)
        outbox = Outbox(database, bus, source=name, types=emits, new_id=new_id, clock=system_clock)
        return cls(name, database, bus, outbox, Steps(database, outbox))

    def worker(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` in the background, again if it fails."""
        self.workers.append((name, run))

    def every(self, name: str, interval_s: float, run: Callable[[], Awaitable[object]]) -> None:
        """Run `run` again and again with a pause; a failure is logged and does not stop it."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(interval_s)
                await run()

        self.worker(name, repeat)

    def gather(self, gatherer: Gatherer[Any, Any]) -> None:
        """Start a gatherer with the service and let it finish before it ends."""

        async def start() -> None:
            gatherer.start()

        self.openers.append(start)
        self.closers.append(gatherer.stop)

    def serve_grpc(self, server: Server) -> None:
        """Serve when all else is open; the first to stop. Register it last."""
        self.openers.append(server.start)
        self.doors.append(server.stop)

    async def _prune(self) -> None:
        """Forget what is too old to come again."""
        await inbox.prune(self.database)
        await idempotency.prune(self.database)

    async def serve(self) -> None:
        """Open everything, work until SIGTERM or SIGINT, then finish what was begun and close."""
        stopping = asyncio.Event()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
        await self.database.open()
        await self.bus.open()
        await self.bus.on_confirm(self.outbox.confirm)
        self.every("outbox.forget", _FORGET_INTERVAL_S, self.outbox.forget_confirmed)
        self.every("outbox.resend", _RESEND_INTERVAL_S, self.outbox.resend_due)
        self.every("messages.prune", _PRUNE_INTERVAL_S, self._prune)
        for opener in self.openers:
            await opener()
        tasks = [asyncio.create_task(_keep_running(name, run), name=name) for name, run in self.workers]
        _spare_the_collector()
        log.info("service.started")
        await stopping.wait()
        log.info("service.stopping")
        for close_door in self.doors:
            await close_door()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for closer in reversed(self.closers):
            await closer()
        await self.outbox.forget_confirmed()
        await self.bus.close()
        await self.database.close()
        log.info("service.stopped")


def _spare_the_collector() -> None:
    """Keep the garbage collector off what lives as long as the process: modules, classes, descriptors.

    Reference counts free what a batch leaves behind; the collector only looks for cycles. A full walk
    through everything that was imported takes it a tenth of a second, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
            return
        except STORE_UNAVAILABLE as error:
            log.warning("worker.waits_for_store", worker=name, error=repr(error))
        except Exception as error:  # the boundary of a worker: it is started again
            log.error("worker.failed", worker=name, exc_info=error)
        await asyncio.sleep(_WORKER_PAUSE_S)


def main(
    name: str,
    *,
    settings: Callable[..., ServiceSettings],
    build: Callable[[Any], Coroutine[Any, Any, Runtime]],
    migrate: Callable[[str], None],
) -> None:
    """Run the command that the process was started with; exits with 2 on bad usage or settings."""
    usage = f"usage: python -m {name} serve | migrate | check"
    if len(sys.argv) != 2 or sys.argv[1] not in ("serve", "migrate", "check"):
        raise SystemExit(usage)
    command = sys.argv[1]
    try:
        config = settings()
    except ValueError as error:
        raise SystemExit(f"{name}: the settings are not valid; each is a FLORIN_ variable\n{error}") from None
    logs.configure(name, config.log_format, config.log_level)
    if command == "migrate":
        migrate(config.migrate_database_url or config.database_url)
        return
    if command == "check":
        print(f"{name}: settings are valid")
        return
    telemetry.configure(name, otlp_endpoint=config.otlp_endpoint, sample_ratio=config.trace_sample_ratio)

    async def run() -> None:
        runtime = await build(config)
        await runtime.serve()

    uvloop.run(run())
    telemetry.shutdown()
