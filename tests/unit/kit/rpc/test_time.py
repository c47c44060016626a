"""How long a call may take, and what ends with it."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from florin.order.v1 import order_service_pb2_grpc as stubs
from florin.order.v1.order_pb2 import Order
from florin.order.v1.order_service_pb2 import GetOrderRequest, WatchOrderRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from kit.rpc import pipeline
from tests.support.waiting import eventually
from tests.unit.kit.rpc.edge import BUYER, Edge


async def test_a_handler_has_no_more_time_than_the_service_gives(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FIRST_ANSWER_S", 0.05)
    cancelled = asyncio.Event()

    async def stuck() -> Order:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    edge.orders.behave = stuck
    refusal = await edge.refused("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DEADLINE_EXCEEDED")
    assert cancelled.is_set()


async def test_a_caller_whose_time_is_up_ends_the_work_done_for_it(edge: Edge) -> None:
    cancelled = asyncio.Event()

    async def stuck() -> Order:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("not reached")

    edge.orders.behave = stuck
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER, timeout=0.1)
    # Whichever of the two notices first says so.
    assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    await asyncio.wait_for(cancelled.wait(), 5)


@pytest.mark.parametrize(
    ("given_ms", "timeout", "waited_s"),
    [("12500", 10, 2.5), ("", 10, 0), ("12500", None, 0), ("soon", 10, 0)],
)
async def test_what_is_gone_of_a_deadline_has_been_waited(
    edge: Edge, given_ms: str, timeout: float | None, waited_s: float
) -> None:
    """The edge says what it has set, gRPC what is left: here as if 2.5 s had passed on the way."""
    headers = {"x-florin-timeout-ms": given_ms} if given_ms else {}
    await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER, headers, timeout=timeout)
    assert edge.orders.calls[0].waited_s == pytest.approx(waited_s, abs=1.0 if waited_s else 0)


async def stuck() -> Order:
    await asyncio.Event().wait()
    raise AssertionError("not reached")


async def test_a_stream_begins_in_the_time_that_the_service_gives(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FIRST_ANSWER_S", 0.05)
    edge.orders.first = stuck
    refusal = await edge.refused("WatchOrder", WatchOrderRequest(id="ord_1"), BUYER)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DEADLINE_EXCEEDED")
    assert edge.orders.left.is_set()


@pytest.mark.parametrize("timeout", [None, 10])
async def test_a_stream_that_has_begun_lasts_as_long_as_its_order(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    monkeypatch.setattr(pipeline, "FIRST_ANSWER_S", 0.05)

    async def late() -> Order:
        await asyncio.sleep(0.2)
        return Order(id="ord_1", version=2)

    edge.orders.behave = late
    answers, _ = await edge.call("WatchOrder", WatchOrderRequest(id="ord_1"), BUYER, timeout=timeout)
    assert [answer.version for answer in answers] == [1, 2]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_stream_lasts_no_longer_than_its_caller_has_said(edge: Edge, begun: bool) -> None:
    if begun:
        edge.orders.behave = stuck
    else:
        edge.orders.first = stuck
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.call("WatchOrder", WatchOrderRequest(id="ord_1"), BUYER, timeout=0.1)
    assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    await asyncio.wait_for(edge.orders.left.wait(), 5)


async def test_a_stream_whose_caller_goes_away_ends_at_once_and_is_no_error(
    edge: Edge, spans: InMemorySpanExporter
) -> None:
    edge.orders.behave = stuck
    stub = stubs.OrderServiceStub(edge.channel)
    watch = stub.WatchOrder(WatchOrderRequest(id="ord_1"), metadata=tuple(BUYER.items()))
    with capture_logs() as lines:
        assert (await watch.read()).version == 1  # type: ignore[attr-defined]  # its stubs lack it
        watch.cancel()
        await asyncio.wait_for(edge.orders.left.wait(), 5)
        await eventually(lambda: bool(lines), "the call is in the log")
    [line] = lines
    assert (line["event"], line["code"]) == ("rpc.answered", "CANCELLED")
    [span] = spans.get_finished_spans()
    assert span.status.is_ok
