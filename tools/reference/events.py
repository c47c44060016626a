"""`docs/reference/events.md`, from the event options of the protos."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from kit.messaging.events import SHARDS, EventType, event_type
from roster import ROSTER
from tools.reference.markdown import code, codes, page, table
from tools.reference.protos import Message, ProtoFile, our_files

_INTRODUCTION: Final = f"""\
What the services tell each other. An event is a protobuf message with the option
`(florin.common.v1.event)`, which names its type; who acts on it is in `roster.py`. It is written to the
outbox of its owner in the transaction of its effect, and sent until every consumer has confirmed
([why](../decisions/0003-outbox-until-confirmed.md)).

On NATS JetStream it travels in the stream `FLORIN` as a CloudEvent in binary mode: the payload is the
message, the attributes are headers. What a consumer has not confirmed in time is sent again to that
consumer alone, on `florin.resend.<consumer>.<shard>`; whoever else listens gets each event at most once.

| header | what it is |
| --- | --- |
| `ce-id` | event id, `evt_…`; what consumers remember it by |
| `ce-type` | `florin.` and the type below |
| `ce-source` | the service that emits it |
| `ce-subject` | what it belongs to, kind and id: `order/ord_…` |
| `ce-time` | when its producer committed it |
| `florin-correlation-id`, `traceparent` | join it to its checkout |
| `florin-attempt` | 1, and one more for each resend to the same consumer |
| `florin-confirm-to` | subject on which the sender waits for confirmations |
| `Nats-Msg-Id` | the event id; for a resend with `#`, the consumer, `#` and the attempt |

The last token of a subject is the shard, 0 to {SHARDS - 1}: a hash of the id in `ce-subject`, for whoever
listens from outside and wants to divide the work. Florin's own replicas share one durable consumer for each
context ([why](../decisions/0013-one-durable-for-all-replicas.md)), and events of one order may come in any
sequence."""


def render() -> str:
    """Return the page: an overview, then each event with its fields."""
    events = [
        (message, _type(file, message))
        for file in our_files()
        for message in file.messages()
        if message.event is not None
    ]
    overview = table(
        ("type", "owner", "must be confirmed by"),
        [
            (
                f"[{type_.name}](#{type_.name.replace('.', '')})",
                code(ROSTER.named(type_.owner).package),
                _consumers(type_),
            )
            for _, type_ in events
        ],
    )
    return page(
        "Events", "protos/", _INTRODUCTION, "## Overview", overview, *[_event(*each) for each in events]
    )


def _type(file: ProtoFile, message: Message) -> EventType:
    return event_type(getattr(import_module(file.module), message.name))


def _consumers(type_: EventType) -> str:
    return codes(sorted(ROSTER.consumers[type_.name]))


def _event(message: Message, type_: EventType) -> str:
    subject = type_.subject_filter.replace("*", "<shard>")
    return "\n\n".join(
        [
            f"## {type_.name}",
            f"{code(message.full_name)} on {code(subject)}",
            message.comment,
            table(
                ("field", "type", "what it is"),
                [(code(field.name), field.type, field.comment) for field in message.fields],
            ),
        ]
    )
