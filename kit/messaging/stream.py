"""What the broker has of ours: one stream, and one durable consumer for each context.

Both are made explicitly, with their whole configuration, and made again whenever the broker has forgotten
them; a stream that has other limits is given ours.

Each context has one durable consumer, from which all its replicas pull (docs/decisions/0013). The broker
hands out what has come and forgets it: whatever is lost on the way is sent again by its outbox.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
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

from kit.messaging.events import resend_filter

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

# Whoever was handed something within this time is there, though it may be too busy to ask for more.
_RECENTLY: Final = timedelta(seconds=3)

# A cluster that has lost a leader does not answer what that one was asked: whoever waits long for it hears
# that much later of the next leader. Whatever is asked may be asked again.
_API_TIMEOUT_S: Final = 2.0

# Who only wants to know who is there waits for less: a process whose turn of resends takes seconds is taken
# for stuck, and without a broker orders are accepted all the same.
_LOOK_TIMEOUT_S: Final = 1.0

BROKER_UNAVAILABLE: Final = (nats.errors.Error, TimeoutError, OSError)


class StreamUnusable(nats.errors.Error):
    """The broker has a stream of our name that does not take our events, and does not let us change it."""


class Stream:
    """The stream and its consumers, as whoever needs them makes them.

    Args:
        client: returns the connection that is used now.
        replicas: on how many nodes of a cluster the stream is kept. A consumer that does not say otherwise
            (`num_replicas`) is kept on as many as its stream.
    """

    def __init__(self, client: Callable[[], Client], replicas: int) -> None:
        self._client = client
        self._replicas = replicas
        # What the broker did not let us change, as we said it last.
        self._kept: list[str] = []

    async def ensure(self) -> None:
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
        jetstream = self._client().jetstream(timeout=_API_TIMEOUT_S)
        try:
            await jetstream.add_stream(wanted)
        except nats.js.errors.APIError as refused:
            # It is there with other settings, or cannot be made as we want it.
            try:
                found = (await jetstream.stream_info(STREAM)).config
            except nats.js.errors.NotFoundError:
                raise refused from None
            await self._change(jetstream, found, wanted)

    async def _change(self, jetstream: JetStreamContext, found: StreamConfig, wanted: StreamConfig) -> None:
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
        self,
        consumer: str,
        subjects: Iterable[str],
        is_new: Callable[[], Awaitable[bool]],
        *,
        may_narrow: bool,
    ) -> None:
        """Make the durable consumer of a context if the broker does not have it, or not as it has to be.

        Args:
            subjects: of the events that it acts on; what is sent again to it alone comes with them.
            is_new: whether it has never acted on an event; then it gets all that the broker still has.
            may_narrow: whether what it is given beyond that is given up. A replica that starts knows best
                what the context acts on; one that was there before may be older than others beside it.
        """
        jetstream = self._client().jetstream(timeout=_API_TIMEOUT_S)
        filters = {*subjects, resend_filter(consumer)}
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
                    deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=await self._now() - _LOOK_BACK
                )
        given = set(known.filter_subjects or ())
        wanted = filters if may_narrow else filters | given
        if given != wanted:
            await jetstream.add_consumer(STREAM, known.evolve(filter_subjects=sorted(wanted)))

    async def remove_shares(self, consumer: str) -> None:
        """Remove the durables that replicas of a context had one each of, until decision 0013."""
        jetstream = self._client().jetstream(timeout=_API_TIMEOUT_S)
        for known in await jetstream.consumers_info(STREAM):
            if re.fullmatch(rf"{consumer}-\d+-of-\d+", known.name):
                await jetstream.delete_consumer(STREAM, known.name)

    async def backlog(self, consumer: str) -> int | None:
        """Return how many events wait for a consumer at the broker; None if nobody is there to take them."""
        try:
            known = await self._ask(f"CONSUMER.INFO.{STREAM}.{consumer}", timeout_s=_LOOK_TIMEOUT_S)
        except BROKER_UNAVAILABLE:
            return None
        last = known["delivered"].get("last_active")
        recently = last is not None and _instant(known["ts"]) - _instant(last) < _RECENTLY
        return int(known["num_pending"]) if known["num_waiting"] or recently else None

    async def takes_events(self) -> bool:
        """Return whether what is sent now is kept: not while the stream is gone, or has no leader yet."""
        try:
            await self._ask(f"STREAM.INFO.{STREAM}", timeout_s=_LOOK_TIMEOUT_S)
        except BROKER_UNAVAILABLE:
            return False
        return True

    async def _now(self) -> datetime:
        return _instant((await self._ask(f"STREAM.INFO.{STREAM}"))["ts"])

    async def _ask(self, what: str, *, timeout_s: float = _API_TIMEOUT_S) -> dict[str, Any]:
        """Return the broker's answer as it is: nats-py keeps to itself at what time of the broker's that was.

        Times of the broker are compared with its own clock only; that of this process may be another.
        """
        client = self._client()
        if not client.is_connected:
            raise nats.errors.ConnectionReconnectingError  # No answer can come.
        message = await client.request(f"$JS.API.{what}", timeout=timeout_s)
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise nats.js.errors.APIError.from_error(answer["error"])
        return answer


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
