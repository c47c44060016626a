"""An event on its way: the protobuf payload, and what its sender says about it.

CloudEvents in binary mode (https://github.com/cloudevents/spec, NATS binding): attributes are headers, the
protobuf message is the payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kit.messaging.events import Aggregate, EventType, resend_subject
from kit.values.trail import Trail


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


def parse_time(text: str) -> datetime:
    """Return the instant of a `ce-time` header; the epoch if it is missing."""
    return datetime.fromisoformat(text) if text else datetime.fromtimestamp(0, UTC)
