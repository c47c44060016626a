"""Spans of events that are being acted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from kit.messaging.events import Received
from kit.observe import telemetry
from kit.values.redaction import redact


@contextmanager
def consuming(
    consumer: str, events: Sequence[tuple[str, Received[Any]]]
) -> Iterator[dict[str, Received[Any]]]:
    """Record a consumer span for each event and yield the events with the trail to hand on.

    A span is a child of the producer's, so that one checkout is one trace.
    """
    spans: list[Span] = []
    traced: dict[str, Received[Any]] = {}
    for event_id, event in events:
        started = telemetry.start_span(
            f"{type(event.message).DESCRIPTOR.name} process",
            event.trail,
            SpanKind.CONSUMER,
            {"messaging.system": "nats", "messaging.message.id": event_id, "consumer": consumer},
        )
        if started is not None:
            spans.append(started[0])
        traced[event_id] = replace(event, trail=started[1]) if started else event
    try:
        yield traced
    except BaseException as error:
        for current in spans:
            current.set_status(Status(StatusCode.ERROR, redact(repr(error))))
        raise
    finally:
        for current in spans:
            current.end()
