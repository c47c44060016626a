"""The simulator's own endpoints under `/_sim/`: configuration, counts, 3-D Secure."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import ValidationError

from psp_sim import three_d_secure
from psp_sim.config import SimConfig
from psp_sim.errors import ApiError, invalid_request, unrecognized_url
from psp_sim.objects import AUTHENTICATION_PATH
from psp_sim.provider import Provider

PREFIX: Final = "/_sim/"


class Control:
    """Answers what tests and operators ask of the simulator itself."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._endpoints: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            ("GET", "/_sim/health"): self._health,
            ("GET", "/_sim/stats"): self._stats,
            ("GET", "/_sim/config"): self._show_config,
            ("POST", "/_sim/config"): self._change_config,
            ("POST", "/_sim/reset"): self._reset_config,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Return the answer to a request under `/_sim/`."""
        try:
            endpoint = self._endpoints.get((request.method, request.path))
            if endpoint is not None:
                return await endpoint(request)
            if request.path.startswith(AUTHENTICATION_PATH):
                return await self._authentication(request)
            raise unrecognized_url(request.method, request.path)
        except ApiError as error:
            return json_response(error.body(), status=error.status)

    async def _health(self, request: web.BaseRequest) -> web.Response:
        return json_response({"status": "ok"})

    async def _stats(self, request: web.BaseRequest) -> web.Response:
        return json_response(self._provider.stats())

    async def _show_config(self, request: web.BaseRequest) -> web.Response:
        return json_response(self._provider.faults.config.model_dump())

    async def _change_config(self, request: web.BaseRequest) -> web.Response:
        try:
            change = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise invalid_request(f"The configuration is not JSON: {error}") from None
        if not isinstance(change, dict):
            raise invalid_request("The configuration has to be a JSON object.")
        faults = self._provider.faults
        try:
            faults.config = faults.config.changed_by(change)
        except ValidationError as error:
            raise _unacceptable(error) from None
        return await self._show_config(request)

    async def _reset_config(self, request: web.BaseRequest) -> web.Response:
        self._provider.faults.config = SimConfig()
        return await self._show_config(request)

    async def _authentication(self, request: web.BaseRequest) -> web.Response:
        intent_id, _, action = request.path.removeprefix(AUTHENTICATION_PATH).partition("/")
        intent = self._provider.intent(intent_id)
        if request.method == "GET" and not action:
            page = three_d_secure.page(intent, f"{AUTHENTICATION_PATH}{intent_id}")
            return web.Response(text=page, content_type="text/html")
        if request.method != "POST" or action not in ("complete", "fail"):
            raise unrecognized_url(request.method, request.path)
        document = await self._provider.authenticate(intent_id, passed=action == "complete")
        if "text/html" not in request.headers.get("Accept", ""):
            return json_response(document)
        address = f"{AUTHENTICATION_PATH}{intent_id}"
        if intent.return_url:
            address = three_d_secure.return_address(intent.return_url, document)
        return web.Response(status=303, headers={"Location": address})


def json_response(document: dict[str, Any], status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _unacceptable(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted((*SimConfig.model_fields, "webhook.<name>")))
        return invalid_request(f"There is no setting {name}; there are: {known}.", param=name)
    return invalid_request(f"{name}: {first['msg']}.", param=name)
