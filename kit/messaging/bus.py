"""NATS JetStream as a cache of the outboxes: publishes events, and pulls them in batches (`pull.py`)."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit.messaging.access import Access
from kit.messaging.envelope import Envelope
from kit.messaging.pull import Pull
from kit.messaging.stream import BROKER_UNAVAILABLE, Stream
from kit.observe.pulse import Pulse

log = structlog.get_logger(__name__)

# A server is asked so often whether it is there, and left after two answers that did not come.
_PING_S: Final = 1
_PINGS_OUTSTANDING: Final = 2

# What was sent and not taken notice of for so long will not be: the connection is closed, whatever it holds.
_UNHEARD_S: Final = 3.0

# A client that has ended for good is noticed after so long.
_WATCH_S: Final = 1.0

# Whoever starts waits so long for NATS; then it goes on without.
_OPEN_S: Final = 5.0

# Somebody who has to see it must not be told four times a second.
_STREAM_PAUSE_S: Final = 1.0

# What a server says in whatever way it does not let us in, or not any more.
_SHUT_OUT: Final = re.compile("authori[sz]ation|authentication", re.IGNORECASE)


class Bus:
    """A connection to NATS that comes back by itself, also when a server has closed it for good.

    Args:
        name: of the process, e.g. `order_svc-1`; seen in NATS' own monitoring.
        url: `nats://host:port`, of one server or of several, separated by commas.
        access: what the servers ask for.
        replicas: on how many nodes of a cluster the stream is kept.

    Attributes:
        pulse: at rest unless NATS does not let us in. While it is away, work goes on without it.
    """

    def __init__(self, *, name: str, url: str, access: Access | None = None, replicas: int = 1) -> None:
        self._name = name
        self._url = url
        self._access = access or Access()
        self._client = _closed()
        self._stream = Stream(lambda: self._client, replicas)
        self._pulls: list[Pull] = []
        self._listeners: list[Callable[[Msg], Awaitable[None]]] = []
        self._renewal: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._closing = False
        # Set once it has connected, and seen to the stream.
        self._ready = asyncio.Event()
        self.pulse = Pulse()
        self._background: set[asyncio.Task[None]] = set()
        # Confirmations of what this process sent come back to it alone.
        self.confirm_subject = f"confirm.{name}.{secrets.token_hex(8)}"

    async def open(self) -> None:
        """Connect and make sure the stream is there, or go on trying and begin without.

        Raises:
            OSError: a file that it should show to NATS is not there, or not what it should be.
        """
        self._access.arguments(self._url)
        self._renewal = asyncio.create_task(self._renew())
        self._watcher = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(_OPEN_S):
                await self._ready.wait()
        except TimeoutError:
            log.warning("bus.away", means="events wait in the outbox until NATS is there")

    async def _connect(self, client: Client) -> None:
        await client.connect(
            **self._access.arguments(self._url),
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=2,
            ping_interval=_PING_S,
            max_outstanding_pings=_PINGS_OUTSTANDING,
            # What is published while NATS is away is due again later; no need to hold much of it, or to wait.
            pending_size=8 << 20,
            flush_timeout=_PING_S,
            reconnected_cb=self._on_reconnect,
            error_cb=self._on_error,
            allow_reconnect=True,
        )
        self.pulse.rest()
        _limit_silence(client)

    async def close(self) -> None:
        """Flush what was published and disconnect."""
        self._closing = True
        for task in (*self._background, self._renewal, self._watcher):
            if task is not None:
                task.cancel()
        try:
            await asyncio.wait_for(self._client.drain(), timeout=5.0)
        except BROKER_UNAVAILABLE:
            with suppress(*BROKER_UNAVAILABLE):
                await self._client.close()

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached right now."""
        return self._client.is_connected

    async def publish(self, envelope: Envelope) -> None:
        """Send one event, without waiting for an answer. A failure is logged; the outbox resends."""
        try:
            await self._client.publish(
                envelope.subject,
                envelope.payload,
                headers=envelope.headers(),
            )
        except (nats.errors.Error, OSError) as error:
            log.warning(
                "event.publish_failed",
                event_id=envelope.id,
                correlation_id=envelope.trail.correlation_id,
                error=repr(error),
            )

    async def confirm(self, consumer: str, confirm_to: str, event_ids: Sequence[str]) -> None:
        """Tell the sender of these events that `consumer` has committed its effect of them."""
        try:
            await self._client.publish(confirm_to, "\n".join((consumer, *event_ids)).encode())
        except (nats.errors.Error, OSError) as error:
            log.warning("event.confirm_failed", consumer=consumer, error=repr(error))

    async def on_confirm(self, handle: Callable[[str, list[str]], None]) -> None:
        """Call `handle(consumer, event_ids)` for each confirmation of events this process sent."""

        async def receive(message: Msg) -> None:
            consumer, *event_ids = message.data.decode().split("\n")
            handle(consumer, event_ids)

        self._listeners.append(receive)
        with suppress(nats.errors.ConnectionClosedError):
            await self._client.subscribe(self.confirm_subject, cb=receive)

    async def pull(
        self, consumer: str, subjects: Sequence[str], is_new: Callable[[], Awaitable[bool]]
    ) -> Pull:
        """Return a running pull on a context's durable consumer, made as `Stream.ensure_consumer` says."""
        pull = Pull(lambda: self._client, self._stream, consumer, subjects, is_new, ended=self._pulls.remove)
        self._pulls.append(pull)
        with suppress(nats.errors.ConnectionClosedError):
            await pull.open()
        return pull

    async def backlog(self, consumer: str) -> int | None:
        """Return how many events wait for a consumer at the broker; None if nobody is there to take them."""
        return await self._stream.backlog(consumer)

    async def takes_events(self) -> bool:
        """Return whether what is sent now is kept: not while the stream is gone, or has no leader yet."""
        return await self._stream.takes_events()

    async def _on_reconnect(self) -> None:
        log.info("bus.reconnected", server=str(self._client.connected_url))
        self.pulse.rest()
        _limit_silence(self._client)
        self._recover_soon()

    def _recover_soon(self) -> None:
        for earlier in self._background:
            earlier.cancel()
        task = asyncio.create_task(self._recover())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recover(self) -> None:
        """Make the stream again if NATS came back without it; pulls make their own consumers."""
        await self._until_stream_is_there()
        self._ready.set()
        for pull in self._pulls:
            pull.restart()

    async def _watch(self) -> None:
        """Notice that the client has ended for good. It may do so without a word, if its last flush fails."""
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._client.is_closed and (self._renewal is None or self._renewal.done()):
                log.error("bus.closed", error=repr(self._client.last_error))
                self._shut_out(self._client.last_error)

    def _shut_out(self, error: Exception | None) -> None:
        """Say that NATS does not let us in, and go on knocking with a connection of its own.

        The client itself tries nothing any more when it is thrown out. While it is not let in again, each of
        its tries leaves a socket behind.
        """
        self.pulse.expect()
        self.pulse.waits_for(f"NATS, which does not let it in ({error})")
        if not self._closing and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """Connect with what it is to be let in with now, and take up everything that is listened to."""
        with suppress(nats.errors.Error, OSError):
            await self._client.close()
        while self._client.is_closed:
            client = await self._new_client()
            if client is None:
                await asyncio.sleep(_STREAM_PAUSE_S)
                continue
            self._client = client
            # Whoever comes from here on subscribes by itself.
            listeners, pulls = list(self._listeners), list(self._pulls)
            with suppress(nats.errors.Error):
                for receive in listeners:
                    await client.subscribe(self.confirm_subject, cb=receive)
                for pull in pulls:
                    await pull.open()
        log.info("bus.connected", server=str(self._client.connected_url))
        self._recover_soon()

    async def _new_client(self) -> Client | None:
        client = Client()
        try:
            await self._connect(client)
        except asyncio.CancelledError:
            await client.close()
            raise
        except Exception as error:  # the boundary of a task: a file may be exchanged just now, say
            log.warning("bus.not_renewed", error=repr(error))
            return None
        return client

    async def _until_stream_is_there(self) -> None:
        while not self._client.is_closed:
            try:
                await self._stream.ensure()
                return
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("bus.stream_missing", error=repr(error))
                await asyncio.sleep(_STREAM_PAUSE_S)

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus.error", error=repr(error))
        if _SHUT_OUT.search(str(error)):
            self._shut_out(error)


def _closed() -> Client:
    """Return a client that says of itself that it is closed, as one says that was thrown out."""
    client = Client()
    client._status = Client.CLOSED
    return client


def _limit_silence(client: Client) -> None:
    """Have the kernel give up a connection on which nothing arrives any more.

    The client notices by itself, but closes the connection only once all that was written to it has left,
    which the kernel tries for a quarter of an hour.
    """
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    connection = writer.get_extra_info("socket") if writer is not None else None
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNHEARD_S * 1000))
