"""A simulator process and a webhook endpoint, for tests of whatever talks to them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

# Start-up takes half a second on an idle machine; tests run on busy ones.
START_TIMEOUT_S: Final = 30.0
WAIT_TIMEOUT_S: Final = 15.0

API_KEY: Final = "sk_test_florin"
WEBHOOK_SECRET: Final = "whsec_florin_tests"  # noqa: S105 - opens nothing but tests


class SimulatorProcess:
    """A simulator of its own: any free port, its state in a directory of the test's."""

    def __init__(self, data_dir: Path, *, webhook_url: str = "", **environment: str) -> None:
        """Prepare one; `environment` adds variables such as `FLORIN_PSP_SIM_SEED`."""
        self.port = 0
        self._environment = {
            **os.environ,
            "FLORIN_DATA_DIR": str(data_dir),
            "FLORIN_BIND_HOST": "127.0.0.1",
            "FLORIN_PSP_API_KEY": "",
            "FLORIN_PSP_WEBHOOK_SECRET": WEBHOOK_SECRET,
            # Port 9 is discard: nothing listens there, deliveries fail at once.
            "FLORIN_PSP_WEBHOOK_URL": webhook_url or "http://127.0.0.1:9/",
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process, on the port that it had before if it had one."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "psp_sim",
            env={**self._environment, "FLORIN_PSP_SIM_PORT": str(self.port)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await self._process.stdout.readline()
        started = orjson.loads(line)
        if started["event"] != "psp_sim.started":
            await self._process.wait()
            raise RuntimeError(f"the simulator did not start: {started}")
        self.port = started["port"]
        # Read on, lest the log fill the pipe and stop the simulator.
        self._log = asyncio.create_task(self._process.stdout.read())

    async def kill(self) -> None:
        """End the process as a crash would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """End the process in good order; return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        if self._log is not None:
            await self._log
        return await self._process.wait()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it came in."""

    body: bytes
    signature: str
    document: dict[str, Any]

    def is_about(self, object_id: str, event_type: str | None = None) -> bool:
        """Tell whether it is an event about an object, of a type if one is named."""
        return self.document["data"]["object"]["id"] == object_id and (
            event_type is None or self.document["type"] == event_type
        )


@dataclass(slots=True)
class WebhookInbox:
    """A webhook endpoint that keeps what it gets, in order."""

    # What it answers; a test may make it fail.
    answer: Callable[[Delivery], int] = lambda delivery: 200
    deliveries: list[Delivery] = field(default_factory=list)
    url: str = ""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen on any free port."""
        self._runner = web.ServerRunner(web.Server(self._receive, access_log=None))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1/webhooks/stripe"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait_for(self, wanted: Callable[[Delivery], bool], *, count: int = 1) -> list[Delivery]:
        """Return the wanted deliveries once there are at least so many."""

        def found() -> list[Delivery]:
            return [delivery for delivery in self.deliveries if wanted(delivery)]

        async with asyncio.timeout(WAIT_TIMEOUT_S), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        delivery = Delivery(body, request.headers["Stripe-Signature"], orjson.loads(body))
        async with self._changed:
            self.deliveries.append(delivery)
            self._changed.notify_all()
        return web.Response(status=self.answer(delivery))
