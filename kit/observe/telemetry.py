"""Spans that follow one checkout through RPCs and events, as one trace.

OpenTelemetry has no instrumentation for NATS, and one for gRPC that costs more than our calls; both are
written here once, on W3C `traceparent` text. What is not sampled costs a string comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode

from kit.values.redaction import redact
from kit.values.trail import Trail

_provider: TracerProvider | None = None

# Spans are sent in the background at this interval, so that a test or a person sees them soon.
_EXPORT_DELAY_MS = 500


def configure(service: str, *, otlp_endpoint: str, sample_ratio: float) -> None:
    """Export spans of this process to `otlp_endpoint` (gRPC); an empty one switches tracing off."""
    global _provider
    if not otlp_endpoint:
        return
    # A fifth of a start, for those who export.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    _provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.namespace": "florin"}),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
    )
    exporter = OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True, timeout=5)
    _provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_DELAY_MS, max_queue_size=8192)
    )


def shutdown() -> None:
    """Send the spans that are left; bounded by the exporter's time-out."""
    if _provider is not None:
        _provider.shutdown()


def _parent_context(traceparent: str) -> Context | None:
    parts = traceparent.split("-")
    if len(parts) != 4:
        return None
    context = SpanContext(
        trace_id=int(parts[1], 16),
        span_id=int(parts[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(parts[3], 16)),
    )
    return trace.set_span_in_context(NonRecordingSpan(context))


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def start_span(
    name: str, trail: Trail, kind: SpanKind, attributes: Mapping[str, Any] | None = None
) -> tuple[Span, Trail] | None:
    """Start a span below the trail and return it with the trail to hand on; None if it is not sampled."""
    if _provider is None or (trail.traceparent and not trail.sampled):
        return None
    span = _provider.get_tracer("florin").start_span(
        name, context=_parent_context(trail.traceparent), kind=kind
    )
    if span.is_recording():
        span.set_attribute("correlation_id", trail.correlation_id)
        for key, value in (attributes or {}).items():
            span.set_attribute(key, redact(value) if isinstance(value, str) else value)
    return span, replace(trail, traceparent=_traceparent(span))


@contextmanager
def span(
    name: str, trail: Trail, kind: SpanKind, attributes: Mapping[str, Any] | None = None
) -> Iterator[Trail]:
    """Record a span around a block and yield the trail to hand on; an exception marks it as failed."""
    started = start_span(name, trail, kind, attributes)
    if started is None:
        yield trail
        return
    current, inner = started
    try:
        yield inner
    except BaseException as error:
        current.set_status(Status(StatusCode.ERROR, redact(repr(error))))
        raise
    finally:
        current.end()
