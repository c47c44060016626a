"""`florin.order.v1.OrderService`: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from florin.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from kit.rpc import Role, current_call
from kit.rpc.idempotency import Answer, Keyed
from kit.rpc.pages import PageTokens
from kit.store.batch import Gatherer
from kit.values.errors import NotFound
from order_svc.application.checkout.place_orders import Checkout
from order_svc.application.ports import OrderFilter, OrderReader
from order_svc.application.progress.watching import Watchers
from order_svc.domain.order import Order, Status
from order_svc.domain.reasons import ORDER_NOT_FOUND
from order_svc.transport.messages import checkout_of, order_message, timeline_messages

Context = grpc.aio.ServicerContext[Any, Any]
Intake = Gatherer[Keyed[Checkout], Answer[order_pb2.Order]]

DEFAULT_PAGE_SIZE = 20


class OrderServicer(order_service_pb2_grpc.OrderServiceServicer):
    """Answers the order service's calls."""

    def __init__(
        self,
        *,
        intake: Intake,
        reader: OrderReader,
        watchers: Watchers,
        page_tokens: PageTokens,
        email_domain: str,
    ) -> None:
        self._intake = intake
        self._reader = reader
        self._watchers = watchers
        self._page_tokens = page_tokens
        self._email_domain = email_domain

    async def CreateCheckout(
        self, request: order_service_pb2.CreateCheckoutRequest, context: Context
    ) -> order_pb2.Order:
        call = current_call()
        checkout = checkout_of(request, call, email_domain=self._email_domain)
        answer = await self._intake.submit(Keyed(call.key, checkout), waited_s=call.waited_s)
        call.reply_with(x_http_status="202")
        if answer.replayed:
            call.reply_with(idempotent_replayed="true")
        return answer.message

    async def GetOrder(self, request: order_service_pb2.GetOrderRequest, context: Context) -> order_pb2.Order:
        return order_message(await self._visible(request.id))

    async def ListOrders(
        self, request: order_service_pb2.ListOrdersRequest, context: Context
    ) -> order_service_pb2.ListOrdersResponse:
        call = current_call()
        wanted = self._filter(request)
        filters = f"{call.principal}|{call.principal.merchant_id}|{request.status}"
        size = request.page_size or DEFAULT_PAGE_SIZE
        before = self._page_tokens.open(request.page_token, filters) if request.page_token else ""
        if request.status and wanted.status is None:
            return order_service_pb2.ListOrdersResponse()
        orders = await self._reader.page(wanted, before_id=before, size=size + 1)
        more = len(orders) > size
        return order_service_pb2.ListOrdersResponse(
            orders=[order_message(order) for order in orders[:size]],
            next_page_token=self._page_tokens.sign(orders[size - 1].id, filters) if more else "",
        )

    async def WatchOrder(
        self, request: order_service_pb2.WatchOrderRequest, context: Context
    ) -> AsyncIterator[order_pb2.Order]:
        order = await self._visible(request.id)
        async for change in self._watchers.watch(order):
            yield order_message(change)

    async def GetOrderTimeline(
        self, request: order_service_pb2.GetOrderTimelineRequest, context: Context
    ) -> order_service_pb2.OrderTimeline:
        order = await self._visible(request.id)
        steps = await self._reader.timeline(order.id)
        return order_service_pb2.OrderTimeline(order_id=order.id, steps=timeline_messages(steps))

    def _filter(self, request: order_service_pb2.ListOrdersRequest) -> OrderFilter:
        call = current_call()
        # The contract names states that no order can be in yet; of those there is nothing to list.
        status = Status.__members__.get(order_pb2.Order.Status.Name(request.status))
        match call.principal.role:
            case Role.BUYER:
                return OrderFilter(customer_id=call.principal.subject, status=status)
            case Role.MERCHANT:
                return OrderFilter(merchant_id=call.merchant_id, status=status)
            case Role.OPS:
                return OrderFilter(status=status)

    async def _visible(self, order_id: str) -> Order:
        """Return an order the caller may see; one that is not theirs looks as if it did not exist."""
        principal = current_call().principal
        order = await self._reader.get(order_id)
        if order is None or not principal.may_see(
            customer_id=order.customer_id, merchant_id=order.merchant_id
        ):
            raise NotFound(ORDER_NOT_FOUND, f"no order of yours has the id {order_id!r}")
        return order
