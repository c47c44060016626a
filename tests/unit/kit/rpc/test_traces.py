"""What a call leaves in the traces."""

from __future__ import annotations

import pytest
from florin.order.v1.order_service_pb2 import GetOrderRequest, WatchOrderRequest
from google.protobuf.message import Message
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.unit.kit.rpc.edge import BUYER, OPS, Edge


@pytest.mark.parametrize(
    ("method", "request_"),
    [("GetOrder", GetOrderRequest(id="ord_1")), ("WatchOrder", WatchOrderRequest(id="ord_1"))],
)
async def test_every_call_is_a_span_of_its_callers_trace(
    edge: Edge, spans: InMemorySpanExporter, method: str, request_: Message
) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    context = {"traceparent": f"00-{trace}-{parent}-01", "x-correlation-id": "cor_7"}
    await edge.call(method, request_, BUYER, context)
    [span] = spans.get_finished_spans()
    assert span.name == f"florin.order.v1.OrderService/{method}"
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)
    assert span.attributes == {"correlation_id": "cor_7"}
    assert span.status.is_ok
    [call] = edge.orders.calls
    assert call.trail.traceparent == f"00-{trace}-{span.context.span_id:016x}-01", "what follows is below it"


@pytest.mark.parametrize(
    ("method", "request_"),
    [("GetOrder", GetOrderRequest(id="ord_1")), ("WatchOrder", WatchOrderRequest(id="ord_1"))],
)
async def test_the_span_of_a_refused_call_says_why(
    edge: Edge, spans: InMemorySpanExporter, method: str, request_: Message
) -> None:
    refusal = await edge.refused(method, request_)
    [span] = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "UNAUTHENTICATED")
    assert refusal.reason == "UNAUTHENTICATED"


async def test_a_traceparent_that_is_none_is_dropped_at_the_door(edge: Edge) -> None:
    context = {"traceparent": "00-garbage-not-hexadecimal-01"}
    await edge.call("GetOrder", GetOrderRequest(id="ord_1"), OPS, context)
    assert edge.orders.calls[-1].trail.traceparent == ""
