"""The HTTP server in front of the provider.

It is aiohttp's low-level server: with a handful of endpoints that are looked up in a table, the
router and the middlewares of an Application would cost more than the calls themselves.
"""

import asyncio
import time
from typing import Final

import structlog
from aiohttp import web

from psp_sim.control import PREFIX, Control, json_response
from psp_sim.errors import internal_error
from psp_sim.objects import API_VERSION
from psp_sim.provider import ApiRequest, NoAnswer, Provider, Reply

log = structlog.get_logger()

# How long a caller may wait for an answer that never comes, and how often it is looked for.
HOLD_S: Final = 120.0
HOLD_CHECK_S: Final = 0.1


class HttpApi:
    """Translates between HTTP and the provider's calls."""

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
            if request.raw_path.startswith(PREFIX):
                return await self._control.handle(request)
            return await self._call(request)
        except web.HTTPException:
            raise
        except Exception:
            # The boundary: a defect of the simulator looks like a defect of the provider.
            log.exception("request.broke", method=request.method, path=request.path)
            return json_response(internal_error().body(), status=500)

    async def _call(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        headers = request.headers
        body = await request.read()
        call = ApiRequest(
            method=request.method,
            path=path,
            query=query,
            body=body.decode(errors="replace"),
            authorization=headers.get("Authorization", ""),
            idempotency_key=headers.get("Idempotency-Key") or None,
        )
        reply = await self._provider.handle(call)
        if isinstance(reply, NoAnswer):
            return await self._leave_unanswered(request, held=reply.held)
        return _response(call, reply, headers.get("Stripe-Version", API_VERSION))

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


def _response(call: ApiRequest, reply: Reply, version: str) -> web.Response:
    headers = {
        "Content-Type": "application/json",
        "Request-Id": reply.request_id,
        "Stripe-Version": version,
    }
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    if reply.original_request is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = reply.original_request
    return web.Response(body=reply.body, status=reply.status, headers=headers)
