"""Puts the payment service together: the only place that knows all its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from florin.payment.v1 import payment_pb2, payment_service_pb2_grpc

from kit.messaging.step import Step, Steps
from kit.runtime.context import Runtime
from kit.store.batch import one_bad_item_fails_alone
from kit.store.database import Connection
from kit.values.errors import FlorinError
from payment_svc.adapters.postgres.payments import PostgresPaymentReader, PostgresPayments
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.webhooks import read_webhook
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.decide.decide_payments import ask_psp, decide_payments
from payment_svc.application.facts.take_news import News, Taken, take_news
from payment_svc.application.lookup.look_up_payments import LookUps
from payment_svc.application.ports import PaymentReader, Payments, Psp, Scope
from payment_svc.application.psp_calls import PspCalls
from payment_svc.domain import schedule
from payment_svc.domain.decision import DecidePayment
from payment_svc.domain.payment import Payment, PspFact
from payment_svc.settings import Settings
from payment_svc.transport.events import SUBSCRIPTIONS
from payment_svc.transport.grpc import PaymentServicer, WebhookServicer
from payment_svc.transport.messages import payment_message


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    payments: Callable[[Connection], Payments] = PostgresPayments,
    reader: PaymentReader | None = None,
    psps: Sequence[Psp] = (),
) -> None:
    """Put the payment service onto its runtime; what a test gives takes the place of the real thing.

    Args:
        psps: those that there are; the first is where new payments go.
    """
    reader = reader or PostgresPaymentReader(runtime.database)
    if not psps:
        stripe = StripeGateway(
            api_key=settings.psp_api_key,
            base_url=settings.psp_base_url,
            return_url=settings.return_url,
            searches_per_s=settings.psp_searches_per_s,
        )
        runtime.closers.append(stripe.close)
        psps = [stripe]
    by_name = {psp.name: psp for psp in psps}
    key_lifetimes = {psp.name: psp.key_lifetime for psp in psps}

    def scope(step: Step) -> Scope:
        # Before the step puts anything on record.
        begun_s = asyncio.get_running_loop().time()
        return Scope(
            payments=payments(step.connection),
            new_id=runtime.new_id,
            clock=runtime.clock,
            charge=lambda new: step.after_commit(partial(charger.charge, new, recorded_s=begun_s)),
            fee_bp=settings.platform_fee_bp,
            psp=psps[0].name,
        )

    async def decide(
        step: Step, decisions: Sequence[DecidePayment]
    ) -> list[payment_pb2.Payment | FlorinError]:
        results, events = await decide_payments(scope(step), decisions)
        step.emit(events)
        return [payment_message(result) if isinstance(result, Payment) else result for result in results]

    news = runtime.gather(
        "psp_news",
        one_bad_item_fails_alone(partial(_take_news, runtime.steps, scope)),
        linger_s=settings.fact_linger_ms / 1000,
        # What the PSP has said is not refused; there is as much of it as calls to the PSP at a time.
        patience_s=None,
    )
    decisions = runtime.gather("decisions", runtime.once(decide, payment_pb2.Payment))

    async def learn(fact: PspFact) -> Payment | None:
        return (await news.submit(fact)).payment

    async def take_leave(payments: list[Payment]) -> Sequence[bool]:
        return await reader.take_leave(payments, key_lifetimes)

    # As many as there are slots for calls; none of them is refused.
    leave = runtime.gather("leave_to_call", take_leave, patience_s=None)
    calls = PspCalls()
    charger = Charger(by_name, calls, learn, leave.submit)
    look_ups = LookUps(
        by_name, reader, calls, charger, clock=runtime.clock, action_ttl_s=settings.action_ttl_s
    )
    runtime.closers.append(calls.finish)
    runtime.keep("webhooks", days=settings.webhook_days)
    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.every(schedule.LOOK_UP_DUE, look_ups.look_up_due)
    runtime.serve(
        "florin.payment.v1.PaymentService",
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
        PaymentServicer(
            reader=reader, ask=partial(ask_psp, reader, by_name, runtime.clock), decisions=decisions
        ),
    )
    runtime.serve(
        "florin.payment.v1.WebhookService",
        payment_service_pb2_grpc.add_WebhookServiceServicer_to_server,
        WebhookServicer(read=partial(read_webhook, secret=settings.psp_webhook_secret), news=news),
    )


async def _take_news(steps: Steps, scope: Callable[[Step], Scope], news: list[News]) -> Sequence[Taken]:
    async def body(step: Step) -> list[Taken]:
        taken, events = await take_news(scope(step), news)
        step.emit(events)
        return taken

    return await steps.take(body)
