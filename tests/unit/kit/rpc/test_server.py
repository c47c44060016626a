"""What a server answers besides single calls, and how it stops."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from florin.order.v1.order_pb2 import Order
from florin.order.v1.order_service_pb2 import GetOrderRequest, ListOrdersRequest, WatchOrderRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kit.rpc import current_call
from kit.values.errors import NotFound
from order_svc.domain.reasons import ORDER_NOT_FOUND
from tests.unit.kit.rpc.edge import BUYER, KEY, Edge, a_cart


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
