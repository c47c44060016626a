"""`florin.payment.v1`: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc.aio
from florin.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from google.api.httpbody_pb2 import HttpBody

from kit.rpc import current_call
from kit.store.batch import Gatherer
from kit.values.errors import NotFound
from payment_svc.application.ports import PaymentReader, Webhook
from payment_svc.domain.reasons import PAYMENT_NOT_FOUND
from payment_svc.transport.messages import payment_message

Context = grpc.aio.ServicerContext[Any, Any]


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    """Answers calls about payments."""

    def __init__(self, reader: PaymentReader) -> None:
        self._reader = reader

    async def GetPayment(
        self, request: payment_service_pb2.GetPaymentRequest, context: Context
    ) -> payment_pb2.Payment:
        payment = await self._reader.get(request.id)
        if payment is None or not current_call().principal.may_see(
            customer_id=payment.customer_id, merchant_id=payment.merchant_id
        ):
            raise NotFound(PAYMENT_NOT_FOUND, f"no payment of yours has the id {request.id!r}")
        return payment_message(payment)


class WebhookServicer(payment_service_pb2_grpc.WebhookServiceServicer):
    """Takes the PSPs' webhooks.

    Args:
        read: checks a signature and returns the event; raises `InvalidRequest`.
        webhooks: stores and applies events together with their neighbours; True if seen before.
    """

    def __init__(self, *, read: Callable[[bytes, str], Webhook], webhooks: Gatherer[Webhook, bool]) -> None:
        self._read = read
        self._webhooks = webhooks

    async def ReceiveStripeWebhook(
        self, request: HttpBody, context: Context
    ) -> payment_service_pb2.ReceiveStripeWebhookResponse:
        signature = current_call().metadata.get("stripe-signature", "")
        webhook = self._read(request.data, signature)
        duplicate = await self._webhooks.submit(webhook)
        return payment_service_pb2.ReceiveStripeWebhookResponse(duplicate=duplicate)
