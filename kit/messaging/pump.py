"""Moves events from the bus through a service's handlers: in batches, each event once, none lost.

What is for one handler is one step: claim in the inbox, run the handler, store what it emits, commit; then
confirm to the senders. A step takes its rows in one order, so that those of several replicas wait for each
other and never in a circle; two handlers in one step would each begin anew. A step that fails is run in
halves, down to the bad event, which fails alone. An event that fails is not confirmed, so its sender sends it
again, later and later; one that keeps failing becomes a dead letter. All replicas of a service take from the
same events, so those of one order may be at two at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from kit.messaging import dead_letters, inbox
from kit.messaging.bus import Bus
from kit.messaging.dead_letters import DeadLetter
from kit.messaging.envelope import parse_time
from kit.messaging.events import NewEvent, Received, event_type
from kit.messaging.lateness import Lateness
from kit.messaging.pull import Pull
from kit.messaging.spans import consuming
from kit.messaging.step import GRACE_S, Step, Steps, to_the_end
from kit.observe import faultpoints
from kit.observe.logs import is_followed
from kit.observe.pulse import Pulse
from kit.store.batch import Linger, one_bad_item_fails_alone
from kit.store.database import STORE_UNAVAILABLE, Held
from kit.values.clock import system_clock
from kit.values.ids import NewId
from kit.values.trail import Trail, traceparent_of

S = TypeVar("S")

log = structlog.get_logger(__name__)

# An event is given up when it has been sent so often, and has failed for so long: longer than a restart of
# anything. With the outbox's pauses (5, 10, 20, 40, 60 … s) the eighth send comes after four minutes. Sends
# alone say little, because some may have reached nobody, nor do copies, of which many may come at once.
MAX_ATTEMPTS: Final = 8
PATIENCE_S: Final = 240.0

# So many failing events are remembered, those that failed last. Sends go to any replica: with many of them it
# takes long until an event comes here again, and one that was done elsewhere meanwhile never does.
_MOST_FAILING: Final = 100_000

# How long an unreachable database is waited for between two tries of the same batch.
_STORE_PAUSE_S: Final = 0.5

Handler = Callable[[S, Sequence[Received[Any]]], Awaitable[Sequence[NewEvent]]]
Subscriptions = Mapping[type[Message], Handler[S]]


# As many events of a batch are named in its line: all of a small one, of a large one what is followed.
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A message as it came, with what could be read of it.

    Attributes:
        event: None if nobody here can act on it.
        problem: why nobody ever can.
    """

    message: Msg
    event: Received[Any] | None
    event_id: str
    confirm_to: str
    problem: str = ""


class Pump(Generic[S]):
    """The consumer of one service.

    Args:
        consumer: name that confirms, e.g. `payment_svc`; also the inbox's.
        subscriptions: event class → handler. The steps of one batch are taken in the order of this table,
            which is the order in which the events of one order happen. A handler of several classes gets
            its events together, as they came.
        scope: makes what handlers are given (repositories and the like) for a step.
        lateness: is told of each batch, if somebody wants to know.
        linger_s: how long a batch of a busy service fills. Longer is cheaper, shorter is faster.
        monotonic: seconds that only grow.
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
        lateness: Lateness | None = None,
        linger_s: float = 0.015,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._steps = steps
        self._consumer = consumer
        self._subscriptions = subscriptions
        self._scope = scope
        self._new_id = new_id
        self._linger = Linger(linger_s)
        # A pump that waits for events rests: only a batch has to be done in time.
        self.pulse = Pulse()
        self._lateness = lateness or Lateness(system_clock)
        # Since when an event has been failing here, by its id; it leaves when it is done or buried.
        self._failing: dict[str, float] = {}
        self._monotonic = monotonic
        self._by_name = {event_type(message).name: event_type(message) for message in subscriptions}

    def subjects(self) -> list[str]:
        """Return the subject filters of what it acts on."""
        return [type_.subject_filter for type_ in self._by_name.values()]

    async def run(self) -> None:
        """Handle events until cancelled; what has come is handled before it ends, if it can be soon."""
        pull = await self._bus.pull(self._consumer, self.subjects(), self._is_new)
        try:
            while True:
                messages = await pull.take(linger_s=self._linger.seconds())
                self._linger.took(len(messages))
                with self.pulse.at_work():
                    await to_the_end(self.handle(messages))
        finally:
            await to_the_end(self._finish(pull))

    async def _is_new(self) -> bool:
        return await inbox.is_new(self._steps.database, self._consumer)

    async def _finish(self, pull: Pull) -> None:
        try:
            async with asyncio.timeout(GRACE_S):
                if left := await pull.close():
                    await self.handle(left)
        except TimeoutError:
            # Nothing is lost: what nobody confirms is sent again.
            log.warning("pump.not_finished", consumer=self._consumer)

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Handle one batch; returns when each of its events is done, dead or left to its sender."""
        started = time.perf_counter()
        deliveries = [self._read(message) for message in messages]
        readable = [d for d in deliveries if d.event is not None]
        self._lateness.took([d.event for d in readable if d.event])
        while True:
            try:
                done = await self._handle_together(readable)
                for delivery in deliveries:
                    if delivery.event is None and delivery.problem:
                        await self._bury(delivery, delivery.problem)
                        done.append(delivery)
                break
            except STORE_UNAVAILABLE as error:
                # Nobody else can do better now: keep the batch and wait for the store.
                log.warning("batch.waits_for_store", consumer=self._consumer, error=repr(error))
                self.pulse.waits_for("its store")
            except Held as error:
                # Nor now; but whoever asks for anything else is answered.
                log.warning("batch.held", consumer=self._consumer, error=repr(error))
                self.pulse.failed(error)
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
        # Copies of one event are one attempt, of the newest.
        newest = {d.event_id: d for d in sorted(deliveries, key=lambda d: d.event.attempt if d.event else 0)}
        groups: dict[Handler[S], list[_Delivery]] = {handler: [] for handler in self._subscriptions.values()}
        for delivery in newest.values():
            assert delivery.event is not None, "only what can be read is handled"
            groups[self._subscriptions[type(delivery.event.message)]].append(delivery)
        done: set[str] = set()
        for handler, group in groups.items():
            errors = await one_bad_item_fails_alone(partial(self._take_step, handler))(group) if group else ()
            for delivery, error in zip(group, errors, strict=True):
                if error is None:
                    self._failing.pop(delivery.event_id, None)
                    done.add(delivery.event_id)
                elif await self._give_up(delivery, error):
                    done.add(delivery.event_id)
        return [delivery for delivery in deliveries if delivery.event_id in done]

    async def _take_step(self, handler: Handler[S], deliveries: list[_Delivery]) -> Sequence[None]:
        with consuming(self._consumer, [(d.event_id, d.event) for d in deliveries if d.event]) as traced:

            async def body(step: Step) -> None:
                fresh = await inbox.admit(step.connection, self._consumer, list(traced))
                if events := [event for event_id, event in traced.items() if event_id in fresh]:
                    step.emit(await handler(self._scope(step), events))

            await self._steps.take(body)
        return [None] * len(deliveries)

    async def _give_up(self, delivery: _Delivery, error: Exception) -> bool:
        """Leave a failed event to its sender's resend, or bury it; return whether it is buried.

        For how long it has been failing is only known to this process. A restart makes it later; with other
        replicas, which get some of the sends, it is about a minute later for each.
        """
        now = self._monotonic()
        since = self._failing.pop(delivery.event_id, now)
        self._failing[delivery.event_id] = since
        if len(self._failing) > _MOST_FAILING:
            del self._failing[next(iter(self._failing))]
        attempt = delivery.event.attempt if delivery.event else 1
        last = attempt >= MAX_ATTEMPTS and now - since >= PATIENCE_S
        log.error(
            "event.failed",
            consumer=self._consumer,
            event_id=delivery.event_id,
            correlation_id=delivery.event.trail.correlation_id if delivery.event else "",
            attempt=attempt,
            failing_s=round(now - since),
            buried=last,
            exc_info=error,
        )
        if not last:
            return False
        await self._bury(delivery, repr(error))
        del self._failing[delivery.event_id]
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
            attempts=delivery.event.attempt if delivery.event else 1,
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
        if type_ is None and event_id and headers.get("ce-type", "").startswith("florin."):
            # For a newer version of this service, that is being started beside it: left to its sender.
            log.error("event.unknown_type", consumer=self._consumer, type=name, event_id=event_id)
        elif type_ is None or not event_id:
            problem = f"not an event of ours: type {name!r}, id {event_id!r}"
        else:
            try:
                attempt = int(headers.get("florin-attempt") or 1)
                event = Received(
                    id=event_id,
                    message=type_.message.FromString(message.data),
                    trail=Trail(
                        headers.get("florin-correlation-id", ""),
                        traceparent_of(headers.get("traceparent", "")),
                    ),
                    time=parse_time(headers.get("ce-time", "")),
                    attempt=attempt,
                    source=headers.get("ce-source", ""),
                )
            except (DecodeError, ValueError) as error:
                problem = f"not readable as {type_.message.DESCRIPTOR.full_name}: {error}"
        return _Delivery(
            message,
            event,
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
