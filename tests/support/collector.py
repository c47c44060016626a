"""An OTLP endpoint that keeps the spans it is sent, as Jaeger would, for tests to ask about."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

# One exporter per process; they take turns.
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Span:
    """One span, with its ids in hexadecimal; `parent_id` is empty for the root."""

    trace_id: str
    id: str
    parent_id: str
    service: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans from every process of a system."""

    def __init__(self) -> None:
        self._traces: dict[str, list[Span]] = defaultdict(list)
        self._lock = threading.Lock()
        self.endpoint = ""

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: Any) -> Any:
        """Keep the spans of one export."""
        with self._lock:
            for resource_spans in request.resource_spans:
                service = _texts(resource_spans.resource.attributes).get("service.name", "")
                for scope_spans in resource_spans.scope_spans:
                    for span in scope_spans.spans:
                        self._traces[span.trace_id.hex()].append(_span(service, span))
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace that have arrived so far."""
        with self._lock:
            return list(self._traces.get(trace_id, ()))

    def about(self, correlation_id: str) -> list[Span]:
        """All spans that carry a correlation id, in whichever trace."""
        with self._lock:
            spans = [span for trace in self._traces.values() for span in trace]
        return [span for span in spans if span.attributes.get("correlation_id") == correlation_id]


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector that listens on a free port of this machine until the end."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(grace=None).wait()


def _span(service: str, span: trace_pb2.Span) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        attributes=_texts(span.attributes),
    )


def _texts(attributes: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes if each.value.HasField("string_value")}
