"""What a simulated provider is to the server in front of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from psp_sim.control.faults import Faults


@dataclass(frozen=True, slots=True)
class Request:
    """One call, free of HTTP's machinery."""

    method: str
    path: str
    query: str
    body: str
    # By name, however the caller wrote it.
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The caller is to hear nothing: at once, or after waiting as long as it likes."""

    held: bool


class Provider(Protocol):
    """A provider behind its API."""

    faults: Faults

    async def handle(self, request: Request) -> Reply | NoAnswer:
        """Return the answer to one call of its API."""
        ...

    async def page(self, request: Request) -> Reply | None:
        """Return the answer of a page of its own under `/_sim/`, for its buyers; None if there is no such."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return the counts of what there is, and of the faults met since the start."""
        ...

    def defect(self) -> Reply:
        """Return the answer to a call that broke the simulator: as if the provider were broken."""
        ...


def json_reply(document: Any, status: int = 200) -> Reply:
    """Return a JSON answer."""
    return Reply(status, orjson.dumps(document), {"Content-Type": "application/json"})
