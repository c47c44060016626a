"""Events as the services see them: typed messages with an id, a trail and a contract.

Names of events are options of their protobuf messages (`florin.common.v1.event`), owners are the packages
that define them; this module is the only reader of both. Who has to confirm which event is in the roster.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Generic, NamedTuple, TypeVar

from florin.common.v1 import options_pb2
from google.protobuf.message import Message

from kit.values.trail import Trail

M = TypeVar("M", bound=Message)

# For whoever wants to divide the events of the stream and keep those of one aggregate together; Florin's own
# contexts do not. Fixed: changing it moves aggregates.
SHARDS = 16


class Aggregate(NamedTuple):
    """What an event belongs to, as text `order/ord_01…`.

    Attributes:
        kind: a noun, e.g. `order`.
        id: unique even without the kind.
    """

    kind: str
    id: str

    @classmethod
    def parse(cls, text: str) -> Aggregate:
        """Return the aggregate of a text; one without a kind, as others might send it, is all id."""
        kind, slash, id_ = text.partition("/")
        return cls(kind, id_) if slash else cls("", text)

    @property
    def shard(self) -> int:
        """The shard that all of its events share."""
        return zlib.crc32(self.id.encode()) % SHARDS

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}" if self.kind else self.id


@dataclass(frozen=True, slots=True)
class EventType:
    """The contract of one kind of event.

    Attributes:
        name: `noun.verbed`, e.g. `stock.reserved`.
        owner: short name of the service that emits it, e.g. `inventory`.
        message: the protobuf class.
    """

    name: str
    owner: str
    message: type[Message]

    def subject(self, aggregate: Aggregate) -> str:
        """Return the NATS subject of an event of this kind that belongs to the aggregate."""
        return f"florin.{self.owner}.{self.token}.{aggregate.shard}"

    @property
    def subject_filter(self) -> str:
        """The filter that matches this kind of event."""
        return f"florin.{self.owner}.{self.token}.*"

    @property
    def token(self) -> str:
        """The name as one subject token: `stock_reserved`."""
        return self.name.replace(".", "_")


def resend_subject(consumer: str, aggregate: Aggregate) -> str:
    """Return the NATS subject of an event that is sent again to one consumer; no context is called resend."""
    return f"florin.resend.{consumer}.{aggregate.shard}"


def resend_filter(consumer: str) -> str:
    """Return the filter that matches what is sent again to one consumer."""
    return f"florin.resend.{consumer}.*"


# Contracts that were read already: reading options is slow and an event is made often.
_types: dict[str, EventType] = {}


def event_type(message: type[Message]) -> EventType:
    """Return the contract of an event message.

    Raises:
        TypeError: the message has no `florin.common.v1.event` option.
    """
    known = _types.get(message.DESCRIPTOR.full_name)
    if known is not None:
        return known
    if not _is_event(message):
        raise TypeError(f"{message.DESCRIPTOR.full_name} is not an event: it has no event option")
    option = message.DESCRIPTOR.GetOptions().Extensions[options_pb2.event]
    owner = message.DESCRIPTOR.full_name.split(".")[1]
    type_ = EventType(option.type, owner, message)
    _types[message.DESCRIPTOR.full_name] = type_
    return type_


def event_types(*messages: type[Message]) -> tuple[EventType, ...]:
    """Return the contracts of several event messages."""
    return tuple(event_type(message) for message in messages)


def events_in(module: str) -> tuple[EventType, ...]:
    """Return the contracts of the events that a generated module defines; none if there is no such module."""
    try:
        if find_spec(module) is None:
            return ()
    except ModuleNotFoundError:
        return ()  # Not even the package that it would be in.
    generated = import_module(module)
    messages = [getattr(generated, name) for name in generated.DESCRIPTOR.message_types_by_name]
    return event_types(*(each for each in messages if _is_event(each)))


def _is_event(message: type[Message]) -> bool:
    return bool(message.DESCRIPTOR.GetOptions().HasExtension(options_pb2.event))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be emitted by the step that is under way.

    Attributes:
        message: what happened.
        aggregate: what it belongs to; decides the shard.
        trail: handed on from whatever caused it.
    """

    message: Message
    aggregate: Aggregate
    trail: Trail


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """An event as a handler gets it.

    Attributes:
        id: event id, the inbox key.
        message: what happened.
        trail: correlation id and trace of the consumer's own span.
        time: when its producer committed it.
        attempt: 1 for the first delivery; grows with each resend.
        source: package of the context that emitted it.
    """

    id: str
    message: M
    trail: Trail
    time: datetime
    attempt: int = 1
    source: str = ""
