"""`python -m psp_sim`: the simulator as a process of its own."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from typing import Final

import structlog
import uvloop
from aiohttp import web

from psp_sim.http import HttpApi
from psp_sim.memory.journal import JournalInUse
from psp_sim.settings import Settings
from psp_sim.stripe.provider import StripeProvider

log = structlog.get_logger()

# Requests under way at a stop get this long.
SHUTDOWN_TIMEOUT_S: Final = 2.0
# What the simulator remembers never becomes garbage. Setting it aside every few seconds keeps the
# collector from walking through an ever longer history.
FREEZE_EVERY_S: Final = 10.0
# Of the objects between two collections nearly all are history, or freed without the collector.
COLLECT_EVERY_OBJECTS: Final = 20_000


def configure_logs(level: str) -> None:
    """Log JSON lines to standard output, from a level upwards."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 lets the kernel choose."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024, reuse_port=False)


async def serve(settings: Settings) -> None:
    """Run the simulator until it is asked to stop."""
    listener = listen(settings.bind_host, settings.psp_sim_port)
    port = listener.getsockname()[1]
    provider = StripeProvider(
        state_dir=settings.state_dir,
        public_url=settings.public_url(port),
        webhook_url=settings.webhook_url,
        webhook_secret=settings.psp_webhook_secret.get_secret_value(),
        webhook_events=settings.webhook_events,
        api_key=settings.psp_api_key.get_secret_value(),
        seed=settings.psp_sim_seed,
    )
    await provider.start()
    api = HttpApi(provider)
    server = web.Server(api.handle, access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    log.info(
        "psp_sim.started",
        port=port,
        intents=len(provider.store.intents),
        webhooks_pending=len(provider.store.undelivered),
        webhook_url=settings.webhook_url,
    )
    await _until_told_to_stop()
    api.close()
    await runner.cleanup()
    await provider.stop()
    log.info("psp_sim.stopped")


async def _until_told_to_stop() -> None:
    gc.set_threshold(COLLECT_EVERY_OBJECTS)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    while not stopping.is_set():
        gc.collect()
        gc.freeze()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FREEZE_EVERY_S)


def main() -> int:
    """Run the simulator with the settings of the environment; the exit code says how it ended."""
    settings = Settings()
    configure_logs(settings.log_level)
    try:
        uvloop.run(serve(settings))
    except (JournalInUse, OSError) as error:
        log.error("psp_sim.not_started", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
