"""Asks one process, cheaply, whether it does its work: the questions behind `florin status`.

A check returns when the answer is yes, with what there is to remark about it, if anything, and raises
`Unhealthy` with the reason when it is no. Each
has a deadline of its own, because a deadlocked process accepts connections and says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import nats.errors
import nats.js.errors
import orjson
import psycopg
from nats.aio.client import Client

from kit.messaging.access import Access
from kit.store.connection import BoundedConnection, parameters

# Far above a healthy answer (milliseconds), so that a busy machine is not taken for a dead one.
CHECK_DEADLINE_S: Final = 3.0

# More than any of the answers asked for here; a peer that sends more is not what we think it is.
_ANSWER_LIMIT_BYTES: Final = 64 * 1024

Check = Callable[[], Awaitable[str | None]]


class Unhealthy(Exception):
    """The process does not do its work; the message says what was seen."""


class NotServing(Unhealthy):
    """The process says so itself, with its reasons: it lives, and a new start would not help it."""


class NatsCheck:
    """Whether JetStream answers on one of the servers, asked over one connection that is kept.

    JetStream itself is asked: a server that has run out of disk goes on without it, and a cluster that has
    lost most of its nodes keeps answering pings.
    """

    def __init__(self, url: str, access: Access | None = None) -> None:
        self._url = url
        self._access = access or Access()
        self._client: Client | None = None

    async def __call__(self) -> None:
        try:
            async with asyncio.timeout(CHECK_DEADLINE_S):
                if self._client is None:
                    self._client = await self._connect()
                await self._client.jetstream(timeout=CHECK_DEADLINE_S).account_info()
        except TimeoutError:
            await self.close()
            raise Unhealthy(f"no answer within {CHECK_DEADLINE_S:g} s") from None
        except (nats.js.errors.APIError, nats.errors.NoRespondersError) as error:
            raise Unhealthy(f"JetStream is not there: {_first_line(error)}") from error
        except (nats.errors.Error, OSError) as error:
            await self.close()
            raise Unhealthy(_first_line(error)) from error

    async def close(self) -> None:
        """Leave; the next look connects anew."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await client.close()

    async def _connect(self) -> Client:
        client = Client()
        seen: list[Exception] = []

        async def note(error: Exception) -> None:
            seen.append(error)

        try:
            await client.connect(
                **self._access.arguments(self._url),
                name="florin runner",
                # It is the next look that connects anew.
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=1,
                error_cb=note,
            )
        except BaseException:
            await client.close()
            if seen:
                raise Unhealthy(_first_line(seen[-1])) from seen[-1]
            raise
        return client


def redis(host: str, port: int) -> Check:
    """Whether Redis answers a ping."""

    async def check() -> None:
        async with asyncio.timeout(CHECK_DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, port, limit=_ANSWER_LIMIT_BYTES)
            try:
                writer.write(b"PING\r\n")
                answer = await reader.readline()
                # A Redis that wants a password is alive; its users, not we, hold the password.
                if not answer.startswith((b"+PONG", b"-NOAUTH")):
                    raise Unhealthy(f"answered a ping with {answer[:80]!r}")
            finally:
                await _close(writer)

    return _spoken(check)


def http(host: str, port: int, path: str) -> Check:
    """Whether `GET path` is answered with 200."""

    async def check() -> None:
        status, _ = await _get(host, port, path)
        if b" 200" not in status:
            raise Unhealthy(f"GET {path} answered {status[:80]!r}")

    return _spoken(check)


def service(host: str, port: int) -> Check:
    """Whether a process of ours says that it serves, and its troubles; what it says else are its reasons."""

    async def check() -> str:
        status, body = await _get(host, port, "/ready")
        try:
            said = orjson.loads(body)
            reasons, live, troubles = "; ".join(said["reasons"]), bool(said["live"]), said["troubles"]
        except (ValueError, KeyError, TypeError):
            raise Unhealthy(f"GET /ready answered {status[:80]!r}") from None
        if b" 200" in status:
            return "; ".join(troubles)
        raise (NotServing if live else Unhealthy)(reasons)

    return _spoken(check)


async def _get(host: str, port: int, path: str) -> tuple[bytes, bytes]:
    """Return the status line and the body, which ends with the connection."""
    async with asyncio.timeout(CHECK_DEADLINE_S):
        reader, writer = await asyncio.open_connection(host, port, limit=_ANSWER_LIMIT_BYTES)
        try:
            request = f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n"
            writer.write(request.encode())
            head, _, body = (await reader.read(_ANSWER_LIMIT_BYTES)).partition(b"\r\n\r\n")
            while len(head) + len(body) < _ANSWER_LIMIT_BYTES and (more := await reader.read(4096)):
                body += more
            return head.partition(b"\r\n")[0], body
        finally:
            await _close(writer)


class PostgresCheck:
    """Whether Postgres answers and takes writes, asked over one connection that is kept.

    Kept, because a new connection costs a fork and a SCRAM exchange: about 5 ms each second.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: BoundedConnection | None = None

    async def __call__(self) -> None:
        try:
            async with asyncio.timeout(CHECK_DEADLINE_S):
                if self._connection is None:
                    self._connection = await BoundedConnection.connect(
                        self._url, **parameters(self._url) | {"application_name": "florin runner"}
                    )
                    self._connection.answer_s = CHECK_DEADLINE_S
                cursor = await self._connection.execute("SELECT pg_is_in_recovery()")
                if await cursor.fetchone() != (False,):
                    # It was the primary, and is none any more; another host may be.
                    raise psycopg.OperationalError("is a standby, which takes no writes")
        except TimeoutError:
            await self.close()
            raise Unhealthy(f"no answer within {CHECK_DEADLINE_S:g} s") from None
        except (psycopg.Error, OSError) as error:
            await self.close()
            raise Unhealthy(_first_line(error)) from error

    async def close(self) -> None:
        """Leave; the next look connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


def _spoken(check: Check) -> Check:
    """`check`, with what the network says turned into `Unhealthy`."""

    async def spoken() -> str | None:
        try:
            return await check()
        except TimeoutError:
            raise Unhealthy(f"no answer within {CHECK_DEADLINE_S:g} s") from None
        except OSError as error:
            raise Unhealthy(_first_line(error)) from error

    return spoken


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
