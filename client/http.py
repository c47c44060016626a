"""JSON over HTTP with a deadline on every call; a call without an answer is an error like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp

from client.errors import UNREACHABLE, ApiError, decode_error

# A healthy edge answers within milliseconds. Its own limit of a call, 15 s, is below this, so that it is the
# edge that gives up, with an answer.
CALL_TIMEOUT_S: Final = 20.0

# More calls at once wait for one another here instead of overwhelming the server's accept queue.
_MAX_CONNECTIONS: Final = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, before anyone decides whether it is an error."""

    http_status: int
    # Names in lower case.
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The document in the body.

        Raises:
            ApiError: the status says that it is an error.
        """
        if self.http_status >= 400:
            raise decode_error(self.http_status, self.headers, self.body)
        document: dict[str, Any] = json.loads(self.body)
        return document


class HttpConnection:
    """Connections to one server, open between `async with` and its end."""

    def __init__(self, base_url: str, *, headers: Mapping[str, str], timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """For answers that are read piece by piece."""
        assert self._session is not None, "use the client in `async with`"
        return self._session

    def url(self, path: str) -> str:
        """The address of `path`."""
        return self._base_url + path

    def unreachable(self, error: Exception) -> ApiError:
        """The error of a call that had no answer."""
        return ApiError(UNREACHABLE, f"no answer from {self._base_url}: {error!r}", http_status=0)

    async def send(
        self,
        method: str,
        path: str,
        *,
        document: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call and whatever came back.

        Raises:
            ApiError: nothing came back; the call may have had its effect all the same.
        """
        try:
            async with self.session.request(
                method, self.url(path), json=document, params=params, headers=headers
            ) as answer:
                names = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, names, await answer.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self.unreachable(error) from error
