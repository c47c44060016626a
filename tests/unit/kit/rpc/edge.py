"""A service that does what a test says, and a client of it that sends what the edge would send."""

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
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest, GetOrderRequest, WatchOrderRequest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from kit.rpc import Call, Server, current_call

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
        return refusal_of(caught.value)


def _text(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
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


def a_cart(**changes: Any) -> CreateCheckoutRequest:
    values: dict[str, Any] = {
        "merchant_id": "mer_demo",
        "items": [StockLine(sku="mug", quantity=1)],
        "currency": "EUR",
        "payment_method_id": "pm_card_visa",
    }
    return CreateCheckoutRequest(**{**values, **changes})
