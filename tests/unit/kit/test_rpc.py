"""What happens around every RPC, seen from a client: who may call, what is refused, and how it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from florin.common.v1.charge_pb2 import StockLine
from florin.order.v1 import order_service_pb2_grpc as stubs
from florin.order.v1.order_pb2 import Order
from florin.order.v1.order_service_pb2 import (
    CreateCheckoutRequest,
    GetOrderRequest,
    ListOrdersRequest,
    WatchOrderRequest,
)
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from kit.observe import telemetry
from kit.rpc import Call, Server, Servicer, current_call, pipeline
from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted, NotFound
from order_svc.domain.reasons import ORDER_NOT_FOUND
from tests.support.waiting import eventually

BUYER = {"x-florin-subject": "usr_1", "x-florin-role": "buyer"}
OPS = {"x-florin-subject": "usr_ops", "x-florin-role": "ops"}
KEY = {"idempotency-key": "k1"}

Behave = Callable[[], Awaitable[Order]]


class FakeOrders(stubs.OrderServiceServicer):
    """An order service that does what the test says, and remembers the calls it was shown."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.behave: Behave | None = None
        self.first: Behave | None = None
        self.left = asyncio.Event()

    async def CreateCheckout(self, request: CreateCheckoutRequest, context: Any) -> Order:
        return await self._answer()

    async def GetOrder(self, request: GetOrderRequest, context: Any) -> Order:
        return await self._answer()

    async def WatchOrder(self, request: WatchOrderRequest, context: Any) -> AsyncIterator[Order]:
        try:
            if self.first is not None:
                await self.first()
            yield Order(id=request.id, version=1)
            yield await self._answer()
        finally:
            self.left.set()

    async def _answer(self) -> Order:
        self.calls.append(current_call())
        if self.behave is not None:
            return await self.behave()
        return Order(id="ord_1")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a client reads it."""

    code: grpc.StatusCode
    http_status: str
    reason: str
    fields: list[str]
    retry_s: float
    initial: dict[str, str]


@dataclass(frozen=True, slots=True)
class Edge:
    """A client of the fake service; sends what the edge would send."""

    orders: FakeOrders
    channel: grpc.aio.Channel
    server: Server

    async def call(
        self, method: str, request: Message, *metadata: dict[str, str], timeout: float | None = 10
    ) -> tuple[Any, dict[str, str]]:
        """Return the answer and its initial metadata."""
        stub = stubs.OrderServiceStub(self.channel)
        pairs = tuple(pair for each in metadata for pair in each.items())
        rpc = getattr(stub, method)(request, metadata=pairs, timeout=timeout)
        answer = [message async for message in rpc] if method == "WatchOrder" else await rpc
        return answer, _text(await rpc.initial_metadata())

    async def refused(self, method: str, request: Message, *metadata: dict[str, str]) -> Refusal:
        """Return how the call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, *metadata)
        return _refusal(caught.value)


def _text(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    trailing: dict[str, str | bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    details = trailing["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = Status.FromString(details)
    assert status.code == error.code().value[0]
    by_type = {detail.type_url.rpartition(".")[2]: detail.value for detail in status.details}
    return Refusal(
        code=error.code(),
        http_status=str(trailing["x-http-status"]),
        reason=ErrorInfo.FromString(by_type["ErrorInfo"]).reason,
        fields=[v.field for v in BadRequest.FromString(by_type.get("BadRequest", b"")).field_violations],
        retry_s=RetryInfo.FromString(by_type.get("RetryInfo", b"")).retry_delay.ToMilliseconds() / 1000,
        initial=_text(error.initial_metadata()),
    )


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


def a_cart(**changes: Any) -> CreateCheckoutRequest:
    values: dict[str, Any] = {
        "merchant_id": "mer_demo",
        "items": [StockLine(sku="mug", quantity=1)],
        "currency": "EUR",
        "payment_method_id": "pm_card_visa",
    }
    return CreateCheckoutRequest(**{**values, **changes})


async def test_a_call_that_may_be_made_is_answered_under_its_correlation_id(edge: Edge) -> None:
    answer, metadata = await edge.call(
        "GetOrder", GetOrderRequest(id="ord_1"), BUYER, {"x-correlation-id": "cor_7"}
    )
    assert answer == Order(id="ord_1")
    assert "x-correlation-id" not in metadata, "whoever sent it has it"
    [call] = edge.orders.calls
    assert (str(call.principal), call.trail.correlation_id) == ("buyer:usr_1", "cor_7")
    _, metadata = await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    assert metadata["x-correlation-id"] == edge.orders.calls[-1].trail.correlation_id


@pytest.mark.parametrize("identity", [{}, {"x-florin-role": "buyer"}, {**BUYER, "x-florin-role": "root"}])
async def test_nobody_is_401(edge: Edge, identity: dict[str, str]) -> None:
    refusal = await edge.refused("GetOrder", GetOrderRequest(id="ord_1"), identity)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "401",
        "UNAUTHENTICATED",
    )
    assert edge.orders.calls == []


async def test_the_wrong_role_is_403_even_before_the_request_is_looked_at(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", CreateCheckoutRequest(), OPS)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "403",
        "ROLE_NOT_ALLOWED",
    )


async def test_an_invalid_request_is_400_and_names_every_field_as_a_caller_writes_it(edge: Edge) -> None:
    cart = a_cart(currency="euro", items=[StockLine(sku="mug", quantity=1), StockLine(sku="tee", quantity=0)])
    refusal = await edge.refused("CreateCheckout", cart, BUYER, KEY)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "400",
        "FIELD_INVALID",
    )
    assert sorted(refusal.fields) == ["currency", "items[1].quantity"]


async def test_a_mutation_without_a_key_is_400_and_a_read_needs_none(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(), BUYER)
    assert (refusal.http_status, refusal.reason) == ("400", "IDEMPOTENCY_KEY_MISSING")
    await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    await edge.call("CreateCheckout", a_cart(), BUYER, KEY)
    await edge.call("CreateCheckout", a_cart(request_id="k1"), BUYER)
    assert len(edge.orders.calls) == 3


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("k" * 256, "IDEMPOTENCY_KEY_INVALID"),
        ("4242424242424242", "CARD_NUMBER_REFUSED"),
        ("4242-4242-4242-4242", "CARD_NUMBER_REFUSED"),
    ],
)
async def test_a_key_that_cannot_be_kept_is_400(edge: Edge, key: str, reason: str) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(), BUYER, {"idempotency-key": key})
    assert (refusal.http_status, refusal.reason) == ("400", reason)


async def test_two_different_keys_in_one_request_are_400(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(request_id="k2"), BUYER, KEY)
    assert refusal.reason == "IDEMPOTENCY_KEY_INVALID"


async def test_the_fingerprint_is_that_of_the_request_wherever_its_key_was(edge: Edge) -> None:
    await edge.call("CreateCheckout", a_cart(), BUYER, KEY)
    await edge.call("CreateCheckout", a_cart(request_id="k1"), BUYER)
    await edge.call("CreateCheckout", a_cart(currency="USD"), BUYER, KEY)
    header, field, other = [call.key for call in edge.orders.calls]
    assert header == field
    assert header.identity == other.identity
    assert header.fingerprint != other.fingerprint


async def test_a_refusal_of_the_service_keeps_its_reason_status_and_advice(edge: Edge) -> None:
    async def full() -> Order:
        raise Exhausted(TOO_MANY_WAITING, "come back", retry_after_s=1.5)

    edge.orders.behave = full
    refusal = await edge.refused("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    assert (refusal.code, refusal.http_status) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "429")
    assert (refusal.reason, refusal.retry_s) == ("TOO_MANY_WAITING", 1.5)
    assert refusal.initial["x-correlation-id"].startswith("cor_")


@pytest.mark.parametrize(
    ("method", "request_"),
    [("GetOrder", GetOrderRequest(id="ord_1")), ("WatchOrder", WatchOrderRequest(id="ord_1"))],
)
async def test_a_mistake_of_ours_is_500_without_advice_and_says_nothing_of_itself(
    edge: Edge, method: str, request_: Message
) -> None:
    async def defect() -> Order:
        raise RuntimeError("password=hunter2")

    edge.orders.behave = defect
    with pytest.raises(grpc.aio.AioRpcError) as caught, capture_logs() as lines:
        await edge.call(method, request_, BUYER, {"x-correlation-id": "cor_7"})
    refusal = _refusal(caught.value)
    assert (refusal.code, refusal.http_status) == (grpc.StatusCode.INTERNAL, "500")
    assert (refusal.reason, refusal.retry_s) == ("INTERNAL", 0)
    assert "hunter2" not in repr(caught.value)
    surprised, answered = lines
    # The log has all of it, to be found by what the caller reports.
    assert (surprised["event"], surprised["correlation_id"]) == ("rpc.surprised", "cor_7")
    assert (answered["event"], answered["code"]) == ("rpc.answered", "INTERNAL")


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


async def test_metadata_of_the_answer_reaches_the_caller(edge: Edge) -> None:
    async def accepted() -> Order:
        current_call().reply_with(x_http_status="202", idempotent_replayed="true")
        return Order(id="ord_1")

    edge.orders.behave = accepted
    _, metadata = await edge.call("CreateCheckout", a_cart(), BUYER, KEY)
    assert metadata["x-http-status"] == "202"
    assert metadata["idempotent-replayed"] == "true"


async def test_a_stream_is_answered_and_refused_like_any_other_call(edge: Edge) -> None:
    answers, metadata = await edge.call("WatchOrder", WatchOrderRequest(id="ord_1"), BUYER)
    assert [answer.version for answer in answers] == [1, 0]
    assert metadata["x-correlation-id"].startswith("cor_")

    refusal = await edge.refused("WatchOrder", WatchOrderRequest(id=""), BUYER)
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ["id"])
    assert refusal.initial["x-correlation-id"].startswith("cor_")

    async def gone() -> Order:
        raise NotFound(ORDER_NOT_FOUND, "no order of yours has this id")

    edge.orders.behave = gone
    refusal = await edge.refused("WatchOrder", WatchOrderRequest(id="ord_1"), BUYER)
    assert (refusal.http_status, refusal.reason) == ("404", "ORDER_NOT_FOUND")


async def test_health_reflection_and_unknown_methods_need_no_identity(edge: Edge) -> None:
    health = health_pb2_grpc.HealthStub(edge.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="florin.order.v1.OrderService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING

    stub = reflection_pb2_grpc.ServerReflectionStub(edge.channel)
    ask = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    [listed] = [reply async for reply in stub.ServerReflectionInfo(ask)]
    assert "florin.order.v1.OrderService" in {s.name for s in listed.list_services_response.service}

    unknown = edge.channel.unary_unary("/florin.order.v1.OrderService/NoSuchMethod", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unknown(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_that_nobody_wrote_is_a_mistake_of_ours(edge: Edge) -> None:
    refusal = await edge.refused("ListOrders", ListOrdersRequest(), BUYER)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_a_stopping_server_says_so_before_it_goes(edge: Edge) -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow() -> Order:
        began.set()
        await finish.wait()
        return Order(id="ord_1")

    edge.orders.behave = slow
    call = asyncio.create_task(edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER))
    await began.wait()
    stopping = asyncio.create_task(edge.server.stop())
    finish.set()
    answer, _ = await call
    assert answer.id == "ord_1"
    await stopping
