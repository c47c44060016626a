"""NATS JetStream as a cache of the outboxes: publishes events and pulls them in batches.

CloudEvents in binary mode (https://github.com/cloudevents/spec, NATS binding): attributes are headers, the
protobuf message is the payload. Stream and consumers are made explicitly, with their whole configuration,
and made again whenever the broker has forgotten them; a stream that has other limits is given ours.

Each context has one durable consumer, from which all its replicas pull (docs/decisions/0013). The broker
hands out what has come and forgets it: whatever is lost on the way is sent again by its outbox.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
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
from kit.messaging.events import Aggregate, EventType, resend_filter, resend_subject
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

# A durable consumer that is made again begins this far back: longer than its loss goes unnoticed. What is
# older, and not confirmed, is sent again by its outbox.
_LOOK_BACK: Final = timedelta(seconds=10)

# One pull request asks for this many, and a replica has one open at a time. So this bounds a batch, and what
# a replica that is killed or stuck takes with it.
FETCH_SIZE: Final = 256

# How long a pull request is open: for so long a replica that hangs still takes its turn.
_PULL_EXPIRES_S: Final = 3.0

# The server reports at this interval that a request is open; none of three means that it is gone.
_HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 3 * _HEARTBEAT_S

# Whoever was handed something within this time is there, though it may be too busy to ask for more.
_RECENTLY: Final = timedelta(seconds=3)

# Between two tries to make what the broker has forgotten.
_RETRY_PAUSE_S: Final = 0.25

# A cluster that has lost a leader does not answer what that one was asked: whoever waits long for it hears
# that much later of the next leader. Whatever is asked may be asked again.
_API_TIMEOUT_S: Final = 2.0

# Who only wants to know who is there waits for less: a process whose turn of resends takes seconds is taken
# for stuck, and without a broker orders are accepted all the same.
_LOOK_TIMEOUT_S: Final = 1.0

_BROKER_UNAVAILABLE: Final = (nats.errors.Error, TimeoutError, OSError)

# A server is asked so often whether it is there, and left after two answers that did not come.
_PING_S: Final = 1
_PINGS_OUTSTANDING: Final = 2

# What was sent and not taken notice of for so long will not be: the connection is closed, whatever it holds.
_UNHEARD_S: Final = 3.0

# Somebody who has to see it must not be told four times a second.
_STREAM_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event on its way: the protobuf payload and its CloudEvents attributes.

    Attributes:
        confirm_to: subject on which its sender waits for confirmations.
        attempt: how often it has been sent, this time included.
        to: the one consumer that it is sent to again; nobody in particular the first time.
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
    to: str = ""

    @classmethod
    def from_row(
        cls, row: Sequence[Any], types: Mapping[str, EventType], source: str, confirm_to: str, to: str
    ) -> Envelope:
        """Return the event of an outbox row that is sent again (columns as the outbox selects them)."""
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
            to=to,
        )

    @property
    def subject(self) -> str:
        """The NATS subject that it is sent on."""
        return resend_subject(self.to, self.aggregate) if self.to else self.type.subject(self.aggregate)

    def headers(self) -> dict[str, str]:
        """Return the NATS headers of this event."""
        headers = {
            # The broker swallows what it has seen lately, and each resend is meant.
            "Nats-Msg-Id": f"{self.id}#{self.to}#{self.attempt}" if self.to else self.id,
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

    async def ensure_consumer(
        self, consumer: str, subjects: Iterable[str], is_new: Callable[[], Awaitable[bool]]
    ) -> None:
        """Make the durable consumer of a context if the broker does not have it, or not as it has to be.

        Args:
            subjects: of the events that it acts on; what is sent again to it alone comes with them.
            is_new: whether it has never acted on an event; then it gets all that the broker still has.
        """
        jetstream = self._client.jetstream(timeout=_API_TIMEOUT_S)
        filters = sorted((*subjects, resend_filter(consumer)))
        try:
            known = (await jetstream.consumer_info(STREAM, consumer)).config
        except nats.js.errors.NotFoundError:
            known = None
        if known is not None and known.ack_policy != AckPolicy.NONE:
            # Until decision 0013 consumers acknowledged, which cannot be changed.
            await jetstream.delete_consumer(STREAM, consumer)
            known = None
        if known is None:
            known = ConsumerConfig(
                durable_name=consumer,
                deliver_policy=DeliverPolicy.ALL,
                # Handed out is done for the broker: what an outbox hears no confirmation of it sends again.
                ack_policy=AckPolicy.NONE,
                # Nobody asks for longer than the broker keeps anything: the context is not there any more.
                inactive_threshold=_STREAM_MAX_AGE_S,
            )
            if not await is_new():
                known = known.evolve(
                    deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=datetime.now(UTC) - _LOOK_BACK
                )
        if sorted(known.filter_subjects or []) != filters:
            await jetstream.add_consumer(STREAM, known.evolve(filter_subjects=filters))

    async def remove_shares(self, consumer: str) -> None:
        """Remove the durables that replicas of a context had one each of, until decision 0013."""
        jetstream = self._client.jetstream(timeout=_API_TIMEOUT_S)
        for known in await jetstream.consumers_info(STREAM):
            if re.fullmatch(rf"{consumer}-\d+-of-\d+", known.name):
                await jetstream.delete_consumer(STREAM, known.name)

    async def backlog(self, consumer: str) -> int | None:
        """Return how many events wait for a consumer at the broker; None if nobody is there to take them."""
        try:
            known = await self._client.jetstream(timeout=_LOOK_TIMEOUT_S).consumer_info(STREAM, consumer)
        except _BROKER_UNAVAILABLE:
            return None
        last = known.delivered.last_active if known.delivered else None
        is_there = known.num_waiting or (last is not None and last > datetime.now(UTC) - _RECENTLY)
        return known.num_pending or 0 if is_there else None

    async def takes_events(self) -> bool:
        """Return whether what is sent now is kept: not while the stream is gone, or has no leader yet."""
        try:
            await self._client.jetstream(timeout=_LOOK_TIMEOUT_S).stream_info(STREAM)
        except _BROKER_UNAVAILABLE:
            return False
        return True

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

        await self._client.subscribe(self.confirm_subject, cb=receive)

    async def pull(
        self, consumer: str, subjects: Sequence[str], is_new: Callable[[], Awaitable[bool]]
    ) -> Pull:
        """Return a running pull on a context's durable consumer, which is made as `ensure_consumer` says."""
        pull = Pull(self, self._client, consumer, subjects, is_new)
        await pull.open()
        self._reconnected.append(pull.restart)
        return pull

    def forget(self, pull: Pull) -> None:
        """Tell a pull of reconnections no more; for its end."""
        self._reconnected.remove(pull.restart)

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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNHEARD_S * 1000))

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus.error", error=repr(error))


class Pull:
    """An endless pull on one durable consumer, that survives the loss of consumer, stream and server.

    One request is open at a time, and the next is made when somebody takes: a replica asks for as much as it
    can do. What comes late for a request that was given up is taken like everything else.
    """

    def __init__(
        self,
        bus: Bus,
        client: Client,
        consumer: str,
        subjects: Sequence[str],
        is_new: Callable[[], Awaitable[bool]],
    ) -> None:
        self._bus = bus
        self._client = client
        self._consumer = consumer
        self._subjects = subjects
        self._is_new = is_new
        self._inbox = client.new_inbox()
        self._subscription: Subscription
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
        self._messages: list[Msg] = []
        self._signal = asyncio.Event()
        # The request that is open: where its answers go, and how many messages it may still bring.
        self._numbers = count(1)
        self._request = ""
        self._left = 0
        # Why consumer and request have to be made again; empty while all is well.
        self._lost = "new"

    async def open(self) -> None:
        """Subscribe to the inbox that the server delivers to."""
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._receive)

    async def close(self) -> list[Msg]:
        """End the pull and return what has come and was not taken; the server sends nothing more."""
        self._bus.forget(self)
        try:
            async with asyncio.timeout(_SILENCE_S):
                await self._subscription.drain()  # type: ignore[no-untyped-call]  # nats has no types here
        except _BROKER_UNAVAILABLE as error:
            log.warning("bus.pull_not_drained", consumer=self._consumer, error=repr(error))
            with suppress(*_BROKER_UNAVAILABLE):
                await self._subscription.unsubscribe()
        left, self._messages = self._messages, []
        return left

    def restart(self) -> None:
        """Make the consumer and the pull request again at the next `take`: the connection is a new one."""
        self._lose("reconnected")

    async def take(self, *, linger_s: float) -> list[Msg]:
        """Wait for messages and return those that came, at most `FETCH_SIZE`, in order.

        Args:
            linger_s: how long to let a batch fill after its first message.
        """
        while not self._messages:
            # Cleared before anything is awaited: what arrives from here on is not overlooked.
            self._signal.clear()
            if self._lost and not await self._made_again():
                continue
            if self._left <= 0:
                await self._ask()
            if not await self._signalled(_SILENCE_S):
                self._lose("silent")
        if linger_s > 0 and len(self._messages) < FETCH_SIZE:
            self._signal.clear()
            await self._signalled(linger_s)
        taken, self._messages = self._messages[:FETCH_SIZE], self._messages[FETCH_SIZE:]
        return taken

    async def _signalled(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._signal.wait()
        except TimeoutError:
            return False
        return True

    def _lose(self, why: str) -> None:
        self._lost = why
        self._signal.set()

    async def _made_again(self) -> bool:
        why, self._lost = self._lost, ""
        try:
            await self._bus.ensure_stream()
            if why == "new":
                await self._bus.remove_shares(self._consumer)
            await self._bus.ensure_consumer(self._consumer, self._subjects, self._is_new)
        except _BROKER_UNAVAILABLE as error:
            log.warning("bus.consumer_missing", consumer=self._consumer, error=repr(error))
            self._lost = why
            await asyncio.sleep(_RETRY_PAUSE_S)
            return False
        log.info("bus.pull_begun", consumer=self._consumer, why=why, given_up=self._left)
        self._left = 0
        return True

    async def _ask(self) -> None:
        self._request, self._left = f"{self._inbox}.{next(self._numbers)}", FETCH_SIZE
        request = {
            "batch": FETCH_SIZE,
            "expires": int(_PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        try:
            await self._client.publish(self._next, json.dumps(request).encode(), reply=self._request)
        except _BROKER_UNAVAILABLE as error:
            self._lose(repr(error))

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._left -= 1
            self._messages.append(message)
            # Within a linger only a full batch is worth waking up for.
            if len(self._messages) in (1, FETCH_SIZE):
                self._signal.set()
        elif message.subject != self._request:
            return  # About a request that was given up.
        elif status == "100":
            if not self._messages:
                self._signal.set()  # A heartbeat: the request is open.
        elif status == "408":
            self._left = 0  # The request has run out; ask again.
            self._signal.set()
        else:
            # 409 consumer deleted or 503 nobody there: the broker has forgotten us.
            self._lose(f"{status} {(message.headers or {}).get('Description', '')}")


def parse_time(text: str) -> datetime:
    """Return the instant of a `ce-time` header; the epoch if it is missing."""
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
