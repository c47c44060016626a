"""`florin.payment.v1`: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
from florin.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from google.api.httpbody_pb2 import HttpBody

from kit.rpc import current_call
from kit.rpc.idempotency import Answer, Keyed
from kit.store.batch import Gatherer
from kit.values.errors import NotFound
from payment_svc.application.facts.take_news import News, Taken
from payment_svc.application.ports import PaymentReader, Webhook
from payment_svc.domain.decision import DecidePayment, PspWord
from payment_svc.domain.reasons import PAYMENT_NOT_FOUND
from payment_svc.transport.messages import decision_of, payment_message

Context = grpc.aio.ServicerContext[Any, Any]
Decisions = Gatherer[Keyed[DecidePayment], Answer[payment_pb2.Payment]]


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    """Answers calls about payments.

    Args:
        ask: asks the PSP of a payment what it says of it.
        decisions: decides payments together with their neighbours, each key once.
    """

    def __init__(
        self, *, reader: PaymentReader, ask: Callable[[str], Awaitable[PspWord]], decisions: Decisions
    ) -> None:
        self._reader = reader
        self._ask = ask
        self._decisions = decisions

    async def GetPayment(
        self, request: payment_service_pb2.GetPaymentRequest, context: Context
    ) -> payment_pb2.Payment:
        payment = await self._reader.get(request.id)
        if payment is None or not current_call().principal.may_see(
            customer_id=payment.customer_id, merchant_id=payment.merchant_id
        ):
            raise NotFound(PAYMENT_NOT_FOUND, f"no payment of yours has the id {request.id!r}")
        return payment_message(payment)

    async def DecidePayment(
        self, request: payment_service_pb2.DecidePaymentRequest, context: Context
    ) -> payment_pb2.Payment:
        call = current_call()
        word = await self._ask(request.id)
        answer = await self._decisions.submit(
            Keyed(call.key, decision_of(request, decided_by=str(call.principal), word=word))
        )
        if answer.replayed:
            call.reply_with(idempotent_replayed="true")
        return answer.message


class WebhookServicer(payment_service_pb2_grpc.WebhookServiceServicer):
    """Takes the PSPs' webhooks.

    Args:
        read: checks a signature and returns the event; raises `InvalidRequest`.
        news: stores and applies events together with their neighbours.
    """

    def __init__(self, *, read: Callable[[bytes, str], Webhook], news: Gatherer[News, Taken]) -> None:
        self._read = read
        self._news = news

    async def ReceiveStripeWebhook(
        self, request: HttpBody, context: Context
    ) -> payment_service_pb2.ReceiveStripeWebhookResponse:
        signature = current_call().metadata.get("stripe-signature", "")
        webhook = self._read(request.data, signature)
        taken = await self._news.submit(webhook)
        return payment_service_pb2.ReceiveStripeWebhookResponse(duplicate=taken.duplicate)
