"""The edge keeps the contract towards gRPC and gRPC-Web callers, on the port of REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import aiohttp
import grpc
import pytest
from florin.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from florin.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from multidict import CIMultiDictProxy

from tests.support.edge import (
    MAX_REQUEST_BYTES,
    REQUEST_TIMEOUT_S,
    Edge,
    Refusal,
    Shop,
    Tokens,
    error_info,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def bearer(tokens: Tokens, **claims: object) -> tuple[tuple[str, str], ...]:
    return tuple(tokens.bearer(**claims).items())


async def grpc_web(
    edge: Edge, path: str, message: bytes, headers: dict[str, str]
) -> tuple[int, CIMultiDictProxy[str], bytes]:
    """One gRPC-Web call framed by hand, as a browser's library frames it."""
    frame = b"\x00" + len(message).to_bytes(4, "big") + message
    sent = headers | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    async with (
        aiohttp.ClientSession(edge.url) as session,
        session.post(path, data=frame, headers=sent) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_grpc_web_gets_the_message_and_the_trailers_in_the_body(edge: Edge, tokens: Tokens) -> None:
    message = order_service_pb2.GetOrderRequest(id="ord_1").SerializeToString()
    status, _, body = await grpc_web(edge, "/florin.order.v1.OrderService/GetOrder", message, tokens.bearer())
    assert status == 200
    length = int.from_bytes(body[1:5], "big")
    assert order_pb2.Order.FromString(body[5 : 5 + length]).status == order_pb2.Order.COMPLETED
    trailers = body[5 + length :]
    assert trailers[0] == 0x80
    assert b"grpc-status:0" in trailers


async def test_grpc_web_without_a_token_is_unauthenticated(edge: Edge) -> None:
    status, headers, _ = await grpc_web(edge, "/florin.order.v1.OrderService/GetOrder", b"", {})
    assert (status, headers["grpc-status"]) == (401, "16")


# gRPC.


async def test_grpc_callers_get_the_order_and_no_http_status(
    channel: aio.Channel, tokens: Tokens, shop: Shop
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    metadata = (*bearer(tokens), ("idempotency-key", "key-9"), ("x-correlation-id", "grpc-1"))
    call = stub.CreateCheckout(order_service_pb2.CreateCheckoutRequest(), metadata=metadata, timeout=5)
    order = await call
    assert order.id == "ord_1"
    answered = dict(await call.initial_metadata())
    assert answered["x-correlation-id"] == "grpc-1"
    assert "x-http-status" not in answered
    assert shop.last_metadata["idempotency-key"] == "key-9"
    assert shop.last_metadata["x-florin-subject"] == "buyer_1"


async def test_grpc_callers_get_refusals_with_their_details(
    channel: aio.Channel, tokens: Tokens, shop: Shop
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    refusal = Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "declined",
        (error_info("CARD_DECLINED"),),
        (("x-http-status", "402"),),
    )
    with shop.refusing(refusal), pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(
            order_service_pb2.CreateCheckoutRequest(), metadata=bearer(tokens), timeout=5
        )
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    trailers = cast("Mapping[str, bytes]", raised.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "CARD_DECLINED"


async def test_grpc_callers_can_watch_an_order(channel: aio.Channel, tokens: Tokens) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    request = order_service_pb2.WatchOrderRequest(id="ord_1")
    seen = [order.status async for order in stub.WatchOrder(request, metadata=bearer(tokens), timeout=5)]
    assert seen == [order_pb2.Order.PROCESSING, order_pb2.Order.COMPLETED]


@pytest.mark.parametrize("claims", [None, {"aud": "elsewhere"}, {"exp": 1_000_000_000}])
async def test_grpc_callers_without_a_good_token_are_unauthenticated(
    channel: aio.Channel, tokens: Tokens, claims: dict[str, object] | None
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    metadata = () if claims is None else bearer(tokens, **claims)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.GetOrder(order_service_pb2.GetOrderRequest(id="x"), metadata=metadata, timeout=5)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_internal_rpc_cannot_be_reached(channel: aio.Channel, tokens: Tokens) -> None:
    """Not even by the operator: there is no route to it."""
    stub = inventory_service_pb2_grpc.CatalogueServiceStub(channel)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.BatchGetProducts(
            inventory_service_pb2.BatchGetProductsRequest(),
            metadata=bearer(tokens, role="ops"),
            timeout=5,
        )
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_grpc_requests_have_the_same_limits(channel: aio.Channel, tokens: Tokens, shop: Shop) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    large = order_service_pb2.CreateCheckoutRequest(receipt_email="x" * 2 * MAX_REQUEST_BYTES)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(large, metadata=bearer(tokens), timeout=5)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(MAX_REQUEST_BYTES) in (raised.value.details() or "")
    with shop.dawdling(5 * REQUEST_TIMEOUT_S), pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(
            order_service_pb2.CreateCheckoutRequest(),
            metadata=bearer(tokens),
            timeout=10 * REQUEST_TIMEOUT_S,
        )
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
