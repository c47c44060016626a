"""The endpoints under `/_sim/` that every simulated provider has: configuration and counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import ValidationError

from psp_sim.control.config import SimConfig
from psp_sim.provider import Provider, Reply, Request, json_reply

PREFIX: Final = "/_sim/"


# Not frozen: Python itself writes the traceback into a raised exception.
@dataclass(eq=False, slots=True)
class Refusal(Exception):
    """What was asked of the simulator cannot be done."""

    status: int
    message: str
    param: str = ""

    def reply(self) -> Reply:
        """Return the answer that says so."""
        error = {"message": self.message, "type": "invalid_request_error"}
        if self.param:
            error["param"] = self.param
        return json_reply({"error": error}, self.status)


class Control:
    """Answers what tests and operators ask of the simulator itself."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._endpoints: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/_sim/health"): self._health,
            ("GET", "/_sim/stats"): self._stats,
            ("GET", "/_sim/config"): self._show_config,
            ("POST", "/_sim/config"): self._change_config,
            ("POST", "/_sim/reset"): self._reset_config,
        }

    async def handle(self, request: Request) -> Reply:
        """Return the answer to a request under `/_sim/`."""
        endpoint = self._endpoints.get((request.method, request.path))
        if endpoint is None:
            page = await self._provider.page(request)
            return (
                page or Refusal(404, f"Unrecognized request URL ({request.method}: {request.path}).").reply()
            )
        try:
            return endpoint(request)
        except Refusal as refusal:
            return refusal.reply()

    def _health(self, request: Request) -> Reply:
        return json_reply({"status": "ok"})

    def _stats(self, request: Request) -> Reply:
        return json_reply(self._provider.stats())

    def _show_config(self, request: Request) -> Reply:
        return json_reply(self._provider.faults.config.model_dump())

    def _change_config(self, request: Request) -> Reply:
        try:
            change = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"The configuration is not JSON: {error}") from None
        if not isinstance(change, dict):
            raise Refusal(400, "The configuration has to be a JSON object.")
        faults = self._provider.faults
        try:
            faults.config = faults.config.changed_by(change)
        except ValidationError as error:
            raise _unacceptable(error) from None
        return self._show_config(request)

    def _reset_config(self, request: Request) -> Reply:
        self._provider.faults.config = SimConfig()
        return self._show_config(request)


def _unacceptable(error: ValidationError) -> Refusal:
    first: Any = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted((*SimConfig.model_fields, "webhook.<name>")))
        return Refusal(400, f"There is no setting {name}; there are: {known}.", name)
    return Refusal(400, f"{name}: {first['msg']}.", name)
