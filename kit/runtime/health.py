"""Whether a process does its work, answered by a thread of its own: a busy event loop keeps nobody waiting.

Health is progress. Every loop gives signs of life (`kit.observe.pulse`); the thread reads them when it is
asked, and twice a second for the log. It speaks HTTP, which supervisors, Kubernetes, Envoy and `curl` all do,
and knows two questions:

    GET /ready  200 while everything moves, else 503: send it no work now
    GET /live   200 while the event loop turns, else 503: only an end and a new start will help

Both are answered with all there is to say: `{"serving": false, "live": true, "reasons": ["…"], "troubles":
[]}`. Troubles are what fails again and again while all else is done; no work is kept away for them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final, Protocol

import structlog

from kit.observe.pulse import Pulse
from kit.values.redaction import redact

log = structlog.get_logger(__name__)

# How often the event loop says that it turns, and how often somebody looks.
_LOOK_S: Final = 0.5

# A peer that has connected and says nothing keeps its thread for this long.
_PATIENCE_S: Final = 2.0


class Watched(Protocol):
    """A context whose loops give signs of life, each under its name."""

    @property
    def name(self) -> str:
        """The context's name."""

    @property
    def pulses(self) -> Mapping[str, Pulse]:
        """Its loops."""


class Health:
    """What the process says about itself.

    Args:
        contexts: those that it hosts.

    Attributes:
        phase: why it does not serve by its own choice, `is starting` say; empty while it serves.
    """

    def __init__(self, contexts: Sequence[Watched], *, loop: Pulse | None = None) -> None:
        self._contexts = contexts
        self._loop = loop or Pulse()
        self._said = ""
        self.phase = "is starting"

    @property
    def live(self) -> bool:
        """Whether the event loop turns."""
        return not self._loop.problem()

    def troubles(self) -> list[str]:
        """Return what fails again and again; it serves all the same."""
        return [
            f"{context.name}: {name} {trouble}"
            for context in self._contexts
            for name, pulse in list(context.pulses.items())
            if (trouble := redact(pulse.trouble()))
        ]

    def reasons(self) -> list[str]:
        """Return why it does not serve; nothing if it does."""
        loop = self._loop.problem()
        stuck = [f"the event loop {loop}"] if loop else []
        if not self.phase:
            stuck += [
                f"{context.name}: {name} {problem}"
                for context in self._contexts
                for name, pulse in list(context.pulses.items())
                if (problem := pulse.problem())
            ]
        return [self.phase, *stuck] if self.phase else stuck

    def tell_the_log(self) -> None:
        """Say once that it stands still, and why, and once that it moves again."""
        if self.phase:
            return
        reasons = self.reasons()
        if reasons and not self._said:
            log.error("health.lost", reasons=reasons)
        elif self._said and not reasons:
            log.warning("health.regained", after=self._said)
        self._said = "; ".join(reasons)

    @asynccontextmanager
    async def answering(
        self, host: str, port: int, *, tell: Callable[[bool], Awaitable[None]] | None = None
    ) -> AsyncIterator[int]:
        """Answer at this port, 0 being any; yield it.

        Args:
            tell: is told whether it serves, too, whenever the event loop has a moment.

        Raises:
            OSError: the port is taken.
        """
        self._loop.beat()
        answers = _Answers((host, port), self)
        thread = Thread(target=answers.serve_forever, args=(_LOOK_S,), name="health", daemon=True)
        thread.start()
        turning = asyncio.create_task(self._turn(tell), name="health")
        try:
            yield int(answers.server_address[1])
        finally:
            turning.cancel()
            with suppress(asyncio.CancelledError):
                await turning
            await asyncio.to_thread(answers.shutdown)
            answers.server_close()

    async def _turn(self, tell: Callable[[bool], Awaitable[None]] | None) -> None:
        while True:
            self._loop.beat()
            if tell is not None:
                await tell(not self.reasons())
            await asyncio.sleep(_LOOK_S)


class _Answers(ThreadingHTTPServer):
    """A few lines of HTTP, and a look twice a second."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], health: Health) -> None:
        self.health = health
        super().__init__(address, _Answer)

    def service_actions(self) -> None:
        """Look; the server does it between two connections and while there are none."""
        self.health.tell_the_log()


class _Answer(BaseHTTPRequestHandler):
    server: _Answers
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        """Answer one of the two questions."""
        health = self.server.health
        reasons, live = health.reasons(), health.live
        good = {"/ready": not reasons, "/live": live}.get(self.path)
        if good is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        said = {"serving": not reasons, "live": live, "reasons": reasons, "troubles": health.troubles()}
        body = json.dumps(said).encode()
        self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is its parent's
        """Say nothing: being asked each second is no news."""
