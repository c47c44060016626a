"""NATS JetStream as a cache of the outboxes: publishes events and pulls them in batches.

CloudEvents in binary mode (https://github.com/cloudevents/spec, NATS binding): attributes are headers, the
protobuf message is the payload. Stream and consumers are made explicitly, with their whole configuration,
and made again whenever the broker has forgotten them; a stream that has other limits is given ours.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from kit.messaging.access import Access
from kit.messaging.events import Aggregate, EventType
from kit.values.trail import Trail

log = structlog.get_logger(__name__)

STREAM: Final = "FLORIN"

# What the broker keeps is a convenience; the outboxes resend anything older.
_STREAM_MAX_AGE_S: Final = 3600.0
_STREAM_MAX_BYTES: Final = 1 << 30

# Covers the first resends of an event that was published twice by accident; deliberate ones have new ids.
_DUPLICATE_WINDOW_S: Final = 120.0

# What of the stream is ours to say; whatever else an operator has set, stays. Where it is stored is for good.
_OURS: Final = ("subjects", "max_age", "max_bytes", "duplicate_window", "num_replicas")

# Must be well above the time of one batch; a consumer that died is also covered by the outbox's resend.
_ACK_WAIT_S: Final = 15.0

# One pull asks for this many; bounds both a batch and what waits in this process.
FETCH_SIZE: Final = 256

# The server reports at this interval that a pull is alive; twice without any sign means it is gone.
_HEARTBEAT_S: Final = 1.0
_PULL_EXPIRES_S: Final = 10.0

_API_TIMEOUT_S: Final = 5.0

# A server is asked so often whether it is there, and left after two answers that did not come.
_PING_S: Final = 1
_PINGS_OUTSTANDING: Final = 2

# What was sent and not taken notice of for so long will not be: the connection is closed, whatever it holds.
_SILENCE_S: Final = 3.0

# Somebody who has to see it must not be told four times a second.
_STREAM_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event on its way: the protobuf payload and its CloudEvents attributes.

    Attributes:
        confirm_to: subject on which its sender waits for confirmations.
        attempt: how often it has been sent, this time included.
    """

    id: str
    type: EventType
    source: str
    aggregate: Aggregate
    payload: bytes
    trail: Trail
    time: datetime
    confirm_to: str
    attempt: int = 1

    @classmethod
    def from_row(
        cls, row: Sequence[Any], types: Mapping[str, EventType], source: str, confirm_to: str
    ) -> Envelope:
        """Return the event of an outbox row (columns as `Outbox.resend_due` selects them)."""
        event_id, name, aggregate, payload, correlation_id, traceparent, created_at, sends = row
        return cls(
            id=event_id,
            type=types[name],
            source=source,
            aggregate=Aggregate.parse(aggregate),
            payload=bytes(payload),
            trail=Trail(correlation_id, traceparent),
            time=created_at,
            confirm_to=confirm_to,
            attempt=sends,
        )

    def headers(self) -> dict[str, str]:
        """Return the NATS headers of this event."""
        suffix = "" if self.attempt == 1 else f"#{self.attempt}"
        headers = {
            "Nats-Msg-Id": self.id + suffix,
            "ce-specversion": "1.0",
            "ce-id": self.id,
            "ce-type": f"florin.{self.type.name}",
            "ce-source": self.source,
            "ce-subject": str(self.aggregate),
            "ce-time": self.time.isoformat(),
            "florin-correlation-id": self.trail.correlation_id,
            "florin-confirm-to": self.confirm_to,
            "florin-attempt": str(self.attempt),
        }
        if self.trail.traceparent:
            headers["traceparent"] = self.trail.traceparent
        return headers


class StreamUnusable(nats.errors.Error):
    """The broker has a stream of our name that does not take our events, and does not let us change it."""


class Bus:
    """A connection to NATS that comes back by itself.

    Args:
        name: of the process, e.g. `order_svc-1`; seen in NATS' own monitoring.
        url: `nats://host:port`, of one server or of several, separated by commas.
        access: what the servers ask for.
        replicas: on how many nodes of a cluster the stream is kept. A consumer that does not say otherwise
            (`num_replicas`) is kept on as many as its stream.
    """

    def __init__(self, *, name: str, url: str, access: Access | None = None, replicas: int = 1) -> None:
        self._name = name
        self._url = url
        self._access = access or Access()
        self._replicas = replicas
        self._client = Client()
        # What the broker did not let us change, as we said it last.
        self._kept: list[str] = []
        self._reconnected: list[Callable[[], None]] = []
        self._background: set[asyncio.Task[None]] = set()
        # Confirmations of what this process sent come back to it alone.
        self.confirm_subject = f"confirm.{name}.{secrets.token_hex(8)}"

    async def open(self) -> None:
        """Connect and make sure the stream is there; keeps trying for as long as NATS is away.

        Raises:
            OSError: a file that it should show to NATS is not there, or not what it should be.
        """
        await self._client.connect(
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
        self._limit_silence()
        await self._until_stream_is_there()

    async def close(self) -> None:
        """Flush what was published and disconnect."""
        for task in self._background:
            task.cancel()
        try:
            await asyncio.wait_for(self._client.drain(), timeout=5.0)
        except (TimeoutError, nats.errors.Error):
            await self._client.close()

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached right now."""
        return self._client.is_connected

    async def ensure_stream(self) -> None:
        """Make the stream if the broker does not have it, and give it our limits if it has others.

        Raises:
            StreamUnusable: it is another's.
        """
        wanted = StreamConfig(
            name=STREAM,
            subjects=["florin.*.*.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=_STREAM_MAX_AGE_S,
            max_bytes=_STREAM_MAX_BYTES,
            duplicate_window=_DUPLICATE_WINDOW_S,
            num_replicas=self._replicas,
        )
        jetstream = self._client.jetstream(timeout=_API_TIMEOUT_S)
        try:
            await jetstream.add_stream(wanted)
        except nats.js.errors.APIError as refused:
            # It is there with other settings, or cannot be made as we want it.
            try:
                found = (await jetstream.stream_info(STREAM)).config
            except nats.js.errors.NotFoundError:
                raise refused from None
            await self._change_stream(jetstream, found, wanted)

    async def _change_stream(
        self, jetstream: JetStreamContext, found: StreamConfig, wanted: StreamConfig
    ) -> None:
        """Change what is ours to say of the stream; one that cannot be changed is used as it is."""
        ours = {name: getattr(wanted, name) for name in _OURS}
        differs = sorted(name for name, value in ours.items() if getattr(found, name) != value)
        if not differs:
            return
        try:
            await jetstream.update_stream(found.evolve(**ours))
        except nats.js.errors.APIError as error:
            if not set(wanted.subjects or ()) <= set(found.subjects or ()):
                raise StreamUnusable(f"{STREAM} takes {found.subjects} only: {error}") from error
            if differs != self._kept:
                log.warning("bus.stream_kept", differs_in=differs, error=repr(error))
            self._kept = differs
        else:
            log.info("bus.stream_changed", changed=differs)

    async def ensure_consumer(self, durable: str, subjects: Iterable[str]) -> None:
        """Make the durable pull consumer if the broker does not have it."""
        config = ConsumerConfig(
            durable_name=durable,
            deliver_policy=DeliverPolicy.ALL,
            # One acknowledgement answers for a whole batch: the last message's, for all before it.
            ack_policy=AckPolicy.ALL,
            ack_wait=_ACK_WAIT_S,
            max_ack_pending=8 * FETCH_SIZE,
            # How often something is tried is decided by the outbox that resends it and by the pump.
            max_deliver=-1,
            filter_subjects=sorted(subjects),
        )
        await self._client.jetstream(timeout=_API_TIMEOUT_S).add_consumer(STREAM, config)

    async def publish(self, envelope: Envelope) -> None:
        """Send one event, without waiting for an answer. A failure is logged; the outbox resends."""
        try:
            await self._client.publish(
                envelope.type.subject(envelope.aggregate),
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

        await self._client.subscribe(self.confirm_subject, cb=receive)

    async def pull(self, durable: str, subjects: Sequence[str]) -> Pull:
        """Return a running pull on the durable consumer, made if it is not there."""
        pull = Pull(self, self._client, durable, subjects)
        await pull.open()
        self._reconnected.append(pull.restart)
        return pull

    async def _on_reconnect(self) -> None:
        log.info("bus.reconnected", server=str(self._client.connected_url))
        self._limit_silence()
        for earlier in self._background:
            earlier.cancel()
        task = asyncio.create_task(self._recover())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recover(self) -> None:
        """Make the stream again if NATS came back without it; pulls make their own consumers."""
        await self._until_stream_is_there()
        for restart in self._reconnected:
            restart()

    async def _until_stream_is_there(self) -> None:
        while not self._client.is_closed:
            try:
                await self.ensure_stream()
                return
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("bus.stream_missing", error=repr(error))
                await asyncio.sleep(_STREAM_PAUSE_S)

    def _limit_silence(self) -> None:
        """Have the kernel give up a connection on which nothing arrives any more.

        The client notices by itself, but closes the connection only once all that was written to it has left,
        which the kernel tries for a quarter of an hour.
        """
        writer = getattr(getattr(self._client, "_transport", None), "_io_writer", None)
        connection = writer.get_extra_info("socket") if writer is not None else None
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_SILENCE_S * 1000))

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus.error", error=repr(error))


class Pull:
    """An endless pull on one durable consumer, that survives the loss of consumer, stream and server."""

    def __init__(self, bus: Bus, client: Client, durable: str, subjects: Sequence[str]) -> None:
        self._bus = bus
        self._client = client
        self._durable = durable
        self._subjects = subjects
        self._inbox = client.new_inbox()
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{durable}"
        self._messages: list[Msg] = []
        self._signal = asyncio.Event()
        # Messages the server may still send for the pull requests that are out.
        self._wanted = 0
        self._lost = True

    async def open(self) -> None:
        """Subscribe to the inbox that the server delivers to."""
        await self._client.subscribe(self._inbox, cb=self._receive)

    def restart(self) -> None:
        """Make the consumer and the pull request again at the next `take`."""
        self._lost = True
        self._signal.set()

    async def take(self, *, linger_s: float) -> list[Msg]:
        """Wait for messages and return those that came, at most `FETCH_SIZE`, in order.

        Args:
            linger_s: how long to let a batch fill after its first message.
        """
        while not self._messages:
            # Cleared before anything is awaited: what arrives from here on is not overlooked.
            self._signal.clear()
            if self._lost:
                await self._recreate()
            if self._wanted <= 0:
                await self._request()
            try:
                await asyncio.wait_for(self._signal.wait(), timeout=3 * _HEARTBEAT_S)
            except TimeoutError:
                self._lost = True
        if len(self._messages) < FETCH_SIZE and linger_s > 0:
            await asyncio.sleep(linger_s)
        taken, self._messages = self._messages[:FETCH_SIZE], self._messages[FETCH_SIZE:]
        if self._wanted < FETCH_SIZE // 2 and not self._lost:
            await self._request()
        return taken

    async def acknowledge(self, last: Msg) -> None:
        """Acknowledge a message and with it all that were delivered before."""
        try:
            await self._client.publish(last.reply, b"+ACK")
        except (nats.errors.Error, OSError) as error:
            log.warning("bus.ack_failed", error=repr(error))

    async def _recreate(self) -> None:
        try:
            await self._bus.ensure_stream()
            await self._bus.ensure_consumer(self._durable, self._subjects)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            log.warning("bus.consumer_missing", consumer=self._durable, error=repr(error))
            await asyncio.sleep(0.25)
            return
        self._lost = False
        self._wanted = 0

    async def _request(self) -> None:
        request = {
            "batch": FETCH_SIZE,
            "expires": int(_PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._wanted += FETCH_SIZE
        try:
            await self._client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)
        except (nats.errors.Error, OSError) as error:
            log.warning("bus.pull_failed", consumer=self._durable, error=repr(error))
            self._lost = True

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._wanted -= 1
            self._messages.append(message)
            if len(self._messages) == 1:
                self._signal.set()
        elif status == "100":
            self._signal.set()  # A heartbeat: the pull is alive.
        elif status in ("408", "404"):
            # A pull request ran out and says what it still wanted; ask again.
            left = int((message.headers or {}).get("Nats-Pending-Messages") or FETCH_SIZE)
            self._wanted = max(0, self._wanted - left)
            self._signal.set()
        else:
            # 409 consumer deleted or 503 nobody there: the broker has forgotten us.
            log.info("bus.pull_ended", consumer=self._durable, status=status)
            self._lost = True
            self._signal.set()


def parse_time(text: str) -> datetime:
    """Return the instant of a `ce-time` header; the epoch if it is missing."""
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
