"""The PSP simulator's own switches (`/_sim`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from client.errors import ApiError
from client.http import CALL_TIMEOUT_S, Answer, HttpConnection


class PspSimulator:
    """Talks to one simulator; `async with PspSimulator(url) as psp: …`.

    Every method raises `ApiError` if the simulator refuses or does not answer.
    """

    def __init__(self, base_url: str) -> None:
        self._http = HttpConnection(base_url, headers={}, timeout_s=CALL_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._http.__aexit__(*exception)

    async def config(self) -> dict[str, Any]:
        """How it behaves now."""
        return _document(await self._http.send("GET", "/_sim/config"))

    async def change(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Changes the named settings, those of `webhook` one by one; returns all of them."""
        return _document(await self._http.send("POST", "/_sim/config", document=changes))

    async def reset(self) -> dict[str, Any]:
        """Makes it a healthy provider again."""
        return _document(await self._http.send("POST", "/_sim/reset"))

    async def stats(self) -> dict[str, Any]:
        """What it has counted since it was first started."""
        return _document(await self._http.send("GET", "/_sim/stats"))

    async def authenticate(self, redirect_url: str, *, passed: bool) -> None:
        """Does what a buyer does on the page of 3-D Secure at `redirect_url`."""
        path = f"{urlsplit(redirect_url).path}/{'complete' if passed else 'fail'}"
        _document(await self._http.send("POST", path))


def _document(answer: Answer) -> dict[str, Any]:
    if answer.http_status < 400:
        return answer.json()
    try:
        error = Answer(200, {}, answer.body).json()["error"]
        reason, message = str(error.get("code") or error["type"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return answer.json()
    raise ApiError(reason, message, http_status=answer.http_status)
