"""The service behind the edge, and what it records."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from florin.order.v1 import order_service_pb2_grpc as stubs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.observe import telemetry
from kit.rpc import Server, Servicer
from tests.unit.kit.rpc.edge import Edge, FakeOrders


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    orders = FakeOrders()  # type: ignore[abstract]  # the rest answers UNIMPLEMENTED
    server = Server(
        host="127.0.0.1",
        port=0,
        servicers=[
            Servicer("florin.order.v1.OrderService", stubs.add_OrderServiceServicer_to_server, orders)
        ],
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Edge(orders, channel, server)
    await server.stop()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that the test makes the server record."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_provider", provider)
    return exporter
