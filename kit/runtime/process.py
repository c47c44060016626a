"""The life of a process: `python -m <package> serve | migrate | check`, for all contexts that it hosts."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

import structlog
import uvloop

from kit.observe import logs, telemetry
from kit.rpc import Server
from kit.runtime.context import Runtime
from kit.runtime.health import Health
from kit.runtime.roster import Context, Roster
from kit.runtime.settings import ContextSettings, ProcessSettings, read

log = structlog.get_logger(__name__)

COMMANDS: Final = ("serve", "migrate", "check")

# Containers made and not yet freed before the collector looks for cycles: a few megabytes. The default,
# 700, is reached within a batch, whose objects are all still in use.
_COLLECT_AFTER: Final = (50_000, 10, 10)


def main(roster: Roster, process: str) -> None:
    """Run the command that the process was started with; exits with 2 on bad usage or settings."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        _refuse(f"usage: python -m {process} {' | '.join(COMMANDS)}")
    contexts = roster.hosted_by(process)
    try:
        own = read(ProcessSettings, roster[process].name)
        settings = [_settings_of(context) for context in contexts]
    except ValueError as error:
        _refuse(f"{process}: the settings are not valid; each is a FLORIN_ variable\n{error}")
    logs.configure(process, own.log_format, own.log_level, own.log_follow_ratio)
    match sys.argv[1]:
        case "check":
            print(f"{process}: settings are valid")
        case "migrate":
            # Alembic would be a third of every start, and whoever was killed is waited for.
            from kit.store import migrations

            for context, each in zip(contexts, settings, strict=True):
                migrations.upgrade(context.package, each.migrate_database_url or each.database_url)
        case "serve":
            telemetry.configure(process, otlp_endpoint=own.otlp_endpoint, sample_ratio=own.trace_sample_ratio)
            port = roster.processes[process] if own.port is None else own.port
            uvloop.run(_build_and_serve(roster, own, port, list(zip(contexts, settings, strict=True))))
            telemetry.shutdown()


async def serve(
    settings: ProcessSettings,
    port: int,
    contexts: Sequence[Runtime],
    *,
    until: asyncio.Event,
    at_once: asyncio.Event | None = None,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Open the contexts and answer for all of them, then finish what was begun and close.

    At the end it says NOT_SERVING and goes on with everything for a pause, in which whoever sends it work
    hears of that. Then it takes no more calls and answers those it has. Then the contexts take no more
    events, finish their batches and close: at the same time, and one that cannot be closed keeps no other
    from it.

    Args:
        until: when to stop.
        at_once: ends the pause; for an end at which nobody sends anything.
        started: called once everything runs.
    """
    servicers = [servicer for context in contexts for servicer in context.servicers]
    server = Server(host=settings.bind_host, port=port, servicers=servicers)
    health = Health(contexts)
    async with health.answering(settings.bind_host, settings.health_port(port), tell=server.serving):
        for context in contexts:
            await context.open()
        await server.start()
        for context in contexts:
            context.start()
        health.phase = ""
        started()
        log.info("service.started", contexts=[context.name for context in contexts])
        await until.wait()
        log.info("service.stopping")
        health.phase = "is stopping"
        await _either(at_once or asyncio.Event(), within_s=settings.drain_pause_s)
        await server.stop()
        closed = await asyncio.gather(*(context.close() for context in contexts), return_exceptions=True)
    failures = [(c.name, each) for c, each in zip(contexts, closed, strict=True) if each is not None]
    for name, failure in failures:
        log.error("context.not_closed", context=name, exc_info=failure)
    if failures:
        raise failures[0][1]
    log.info("service.stopped")


async def _build_and_serve(
    roster: Roster, own: ProcessSettings, port: int, contexts: Sequence[tuple[Context, ContextSettings]]
) -> None:
    stopping, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def everything_ends() -> None:
        stopping.set()
        at_once.set()

    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    # From a person at a terminal, or whoever takes all of it down: nobody is left who would send anything.
    loop.add_signal_handler(signal.SIGINT, everything_ends)
    built = [build(roster, context, settings) for context, settings in contexts]
    await serve(own, port, built, until=stopping, at_once=at_once, started=_spare_the_collector)


async def _either(event: asyncio.Event, *, within_s: float) -> None:
    """Return when the event is set, or after this time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()


def build(roster: Roster, context: Context, settings: ContextSettings) -> Runtime:
    """Return the runtime of a context with all that its bootstrap registers."""
    emits = import_module(f"{context.package}.transport.events").EMITS
    runtime = Runtime(context.package, settings, emits=emits, consumers=roster.consumers)
    import_module(f"{context.package}.bootstrap").build(settings, runtime)
    return runtime


def _settings_of(context: Context) -> ContextSettings:
    kind: type[ContextSettings] = import_module(f"{context.package}.settings").Settings
    return read(kind, context.name)


def _spare_the_collector() -> None:
    """Keep the garbage collector off what lives as long as the process: modules, classes, descriptors.

    Reference counts free what a batch leaves behind; the collector only looks for cycles. A full walk
    through everything that was imported takes it a tenth of a second, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)
