"""Moves events from the bus through a service's handlers: in batches, each event once, none lost.

A batch is one step: claim in the inbox, run the handlers, store what they emit, commit; then confirm to
the senders and acknowledge to the broker. A batch that fails is run in halves, down to the bad event, which
fails alone. An event that fails is not confirmed, so its sender sends it again, later and later; after
`MAX_ATTEMPTS` it becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from kit.messaging import dead_letters, inbox
from kit.messaging.bus import Bus, Pull, parse_time
from kit.messaging.dead_letters import DeadLetter
from kit.messaging.events import SHARDS, EventType, NewEvent, Received, event_type
from kit.messaging.spans import consuming
from kit.messaging.step import Step, Steps, to_the_end
from kit.observe import faultpoints
from kit.observe.logs import is_followed
from kit.store.batch import Linger, one_bad_item_fails_alone
from kit.store.database import STORE_UNAVAILABLE
from kit.values.ids import NewId
from kit.values.trail import Trail

S = TypeVar("S")

log = structlog.get_logger(__name__)

# With the outbox's pauses (5, 10, 20, 40, 60 … s) about five minutes: longer than a restart of anything.
MAX_ATTEMPTS: Final = 8

# How long an unreachable database is waited for between two tries of the same batch.
_STORE_PAUSE_S: Final = 0.5

Handler = Callable[[S, Sequence[Received[Any]]], Awaitable[Sequence[NewEvent]]]
Subscriptions = Mapping[type[Message], Handler[S]]


# As many events of a batch are named in its line: all of a small one, of a large one what is followed.
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A message as it came, with what could be read of it."""

    message: Msg
    event: Received[Any] | None
    type: EventType | None
    event_id: str
    confirm_to: str
    problem: str = ""


class Pump(Generic[S]):
    """The consumer of one service.

    Args:
        consumer: name that confirms, e.g. `payment_svc`; also the inbox's.
        subscriptions: event class → handler. Handlers of one batch run in the order of this table, which
            is the order in which the events of one order happen. A handler of several classes gets its
            events together, as they came.
        scope: makes what handlers are given (repositories and the like) for a step.
        linger_s: how long a batch of a busy service fills. Longer is cheaper, shorter is faster.
        replica: (index, count); each replica has the shards that are its own.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        steps: Steps,
        consumer: str,
        subscriptions: Subscriptions[S],
        scope: Callable[[Step], S],
        new_id: NewId,
        linger_s: float = 0.015,
        replica: tuple[int, int] = (0, 1),
    ) -> None:
        self._bus = bus
        self._steps = steps
        self._consumer = consumer
        self._subscriptions = subscriptions
        self._scope = scope
        self._new_id = new_id
        self._linger = Linger(linger_s)
        # By event id; an event leaves it when it is done or buried.
        self._failures: dict[str, int] = {}
        self._replica = replica
        self._by_name = {event_type(message).name: event_type(message) for message in subscriptions}

    def subjects(self) -> list[str]:
        """Return the subject filters of this replica."""
        index, count = self._replica
        if count == 1:
            return [type_.subject_filter() for type_ in self._by_name.values()]
        return [
            type_.subject_filter(shard)
            for type_ in self._by_name.values()
            for shard in range(index, SHARDS, count)
        ]

    async def run(self) -> None:
        """Handle events until cancelled; a batch that has begun is finished first."""
        index, count = self._replica
        durable = self._consumer if count == 1 else f"{self._consumer}-{index}-of-{count}"
        pull = await self._bus.pull(durable, self.subjects())
        while True:
            messages = await pull.take(linger_s=self._linger.seconds())
            self._linger.took(len(messages))
            await to_the_end(self._finish(pull, messages))

    async def _finish(self, pull: Pull, messages: Sequence[Msg]) -> None:
        await self.handle(messages)
        faultpoints.passing(f"{self._consumer}.before_ack")
        await pull.acknowledge(messages[-1])

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Handle one batch; returns when each of its events is done, dead or left to its sender."""
        started = time.perf_counter()
        deliveries = [self._read(message) for message in messages]
        readable = [d for d in deliveries if d.event is not None]
        while True:
            try:
                done = await self._handle_together(readable)
                for delivery in deliveries:
                    if delivery.event is None:
                        await self._bury(delivery, delivery.problem)
                        done.append(delivery)
                break
            except STORE_UNAVAILABLE as error:
                # Nobody else can do better now: keep the batch and wait for the store.
                log.warning("batch.waits_for_store", consumer=self._consumer, error=repr(error))
                await asyncio.sleep(_STORE_PAUSE_S)
        faultpoints.passing(f"{self._consumer}.after_commit")
        await self._confirm(done)
        log.info(
            "batch.handled",
            consumer=self._consumer,
            events=len(deliveries),
            done=len(done),
            ms=round((time.perf_counter() - started) * 1000, 1),
            **_named(readable),
        )

    async def _handle_together(self, deliveries: list[_Delivery]) -> list[_Delivery]:
        """Run the batch as one step, or as several if that fails; return what is done."""
        if not deliveries:
            return []
        done: list[_Delivery] = []
        errors = await one_bad_item_fails_alone(self._take_step)(deliveries)
        for delivery, error in zip(deliveries, errors, strict=True):
            if error is None:
                self._failures.pop(delivery.event_id, None)
                done.append(delivery)
            elif await self._give_up(delivery, error):
                done.append(delivery)
        return done

    async def _take_step(self, deliveries: list[_Delivery]) -> Sequence[None]:
        with consuming(self._consumer, [(d.event_id, d.event) for d in deliveries if d.event]) as traced:

            async def body(step: Step) -> None:
                fresh = await inbox.admit(step.connection, self._consumer, list(traced))
                groups: dict[Handler[S], list[Received[Any]]] = defaultdict(list)
                for event_id, event in traced.items():
                    if event_id in fresh:
                        groups[self._subscriptions[type(event.message)]].append(event)
                scope = self._scope(step)
                for handler in dict.fromkeys(self._subscriptions.values()):
                    if events := groups.get(handler):
                        step.emit(await handler(scope, events))

            await self._steps.take(body)
        return [None] * len(deliveries)

    async def _give_up(self, delivery: _Delivery, error: Exception) -> bool:
        """Leave a failed event to its sender's resend, or bury it; return whether it is buried.

        Failures are counted here, not taken from the number of sends: that grows, too, while nobody
        listens. The count ends with the process, so an event may be tried more often, never less.
        """
        failures = self._failures.get(delivery.event_id, 0) + 1
        self._failures[delivery.event_id] = failures
        last = failures >= MAX_ATTEMPTS
        log.error(
            "event.failed",
            consumer=self._consumer,
            event_id=delivery.event_id,
            correlation_id=delivery.event.trail.correlation_id if delivery.event else "",
            failures=failures,
            buried=last,
            exc_info=error,
        )
        if not last:
            return False
        await self._bury(delivery, repr(error))
        del self._failures[delivery.event_id]
        return True

    async def _bury(self, delivery: _Delivery, problem: str) -> None:
        # Postgres takes no zero characters, and nothing must keep a bad event from being put aside.
        headers = {k: v.replace("\0", "") for k, v in (delivery.message.headers or {}).items()}
        letter = DeadLetter(
            consumer=self._consumer,
            event_id=delivery.event_id.replace("\0", ""),
            type=headers.get("ce-type", "").removeprefix("florin."),
            aggregate=headers.get("ce-subject", ""),
            payload=delivery.message.data,
            headers=headers,
            error=problem,
            # A replayed letter goes on counting its sends, so that its next burial is told from a late copy.
            attempts=max(
                self._failures.get(delivery.event_id, 1), delivery.event.attempt if delivery.event else 1
            ),
        )

        async def body(step: Step) -> None:
            await dead_letters.bury(step.connection, letter, self._new_id)

        await self._steps.take(body)

    async def _confirm(self, done: Sequence[_Delivery]) -> None:
        by_sender: dict[str, list[str]] = defaultdict(list)
        for delivery in done:
            if delivery.confirm_to:
                by_sender[delivery.confirm_to].append(delivery.event_id)
        for confirm_to, event_ids in by_sender.items():
            await self._bus.confirm(self._consumer, confirm_to, event_ids)

    def _read(self, message: Msg) -> _Delivery:
        headers = message.headers or {}
        event_id = headers.get("ce-id", "")
        name = headers.get("ce-type", "").removeprefix("florin.")
        confirm_to = headers.get("florin-confirm-to", "")
        type_ = self._by_name.get(name)
        event: Received[Any] | None = None
        attempt = 1
        problem = ""
        if type_ is None or not event_id:
            problem = f"not an event of ours: type {name!r}, id {event_id!r}"
        else:
            try:
                attempt = int(headers.get("florin-attempt") or 1)
                event = Received(
                    id=event_id,
                    message=type_.message.FromString(message.data),
                    trail=Trail(headers.get("florin-correlation-id", ""), headers.get("traceparent", "")),
                    time=parse_time(headers.get("ce-time", "")),
                    attempt=attempt,
                    source=headers.get("ce-source", ""),
                )
            except (DecodeError, ValueError) as error:
                problem = f"not readable as {type_.message.DESCRIPTOR.full_name}: {error}"
        return _Delivery(
            message,
            event,
            type_,
            event_id or f"unreadable-{hashlib.sha256(message.data).hexdigest()[:32]}",
            confirm_to,
            problem,
        )


def _named(deliveries: Sequence[_Delivery]) -> dict[str, list[str]]:
    """Return what a batch's line says of its events: each that it names by aggregate and correlation id."""
    told = deliveries
    if len(deliveries) > _MOST_NAMED:
        told = [d for d in deliveries if d.event and is_followed(d.event.trail)][:_MOST_NAMED]
    return {
        "aggregates": [(d.message.headers or {}).get("ce-subject", "") for d in told],
        "correlation_ids": [d.event.trail.correlation_id for d in told if d.event],
    }
