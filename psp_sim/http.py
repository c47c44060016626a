"""The HTTP server in front of a provider.

It is aiohttp's low-level server: with a handful of endpoints that are looked up in a table, the
router and the middlewares of an Application would cost more than the calls themselves.
"""

import asyncio
import time
from typing import Final

import structlog
from aiohttp import web

from psp_sim.control.api import PREFIX, Control
from psp_sim.provider import NoAnswer, Provider, Reply, Request

log = structlog.get_logger()

# How long a caller may wait for an answer that never comes, and how often it is looked for.
HOLD_S: Final = 120.0
HOLD_CHECK_S: Final = 0.1


class HttpApi:
    """Translates between HTTP and the calls of a provider and of its control."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._control = Control(provider)
        self._closing = False

    def close(self) -> None:
        """Cut off the callers that are kept waiting; the server is about to stop."""
        self._closing = True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the HTTP answer to any request."""
        try:
            reply = await self._reply(request)
        except web.HTTPException:
            raise
        except Exception:
            # The boundary: a defect of the simulator looks like a defect of the provider.
            log.exception("request.broke", method=request.method, path=request.path)
            reply = self._provider.defect()
        if isinstance(reply, NoAnswer):
            return await self._leave_unanswered(request, held=reply.held)
        return web.Response(body=reply.body, status=reply.status, headers=reply.headers)

    async def _reply(self, request: web.BaseRequest) -> Reply | NoAnswer:
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        call = Request(request.method, path, query, body.decode(errors="replace"), request.headers)
        if path.startswith(PREFIX):
            return await self._control.handle(call)
        return await self._provider.handle(call)

    async def _leave_unanswered(self, request: web.BaseRequest, *, held: bool) -> web.Response:
        """Let the caller wait until it goes away (or two minutes are over), then cut it off."""
        deadline = time.monotonic() + (HOLD_S if held else 0.0)
        # A closing connection sets no event that a handler could wait for, and these are few.
        while (  # noqa: ASYNC110
            (transport := request.transport) is not None
            and not transport.is_closing()
            and time.monotonic() < deadline
            and not self._closing
        ):
            await asyncio.sleep(HOLD_CHECK_S)
        if request.transport is not None:
            request.transport.abort()
        # Nobody reads this: aiohttp wants something to return.
        return web.Response(status=500)
