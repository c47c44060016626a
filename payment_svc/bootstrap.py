"""Puts the payment service together: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from florin.payment.v1 import payment_service_pb2_grpc

from kit.messaging.step import Step, Steps
from kit.runtime.context import Runtime
from kit.store.batch import one_bad_item_fails_alone
from kit.store.database import Connection
from payment_svc.adapters.postgres.payments import PostgresPaymentReader, PostgresPayments
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.webhooks import read_webhook
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.facts.receive_webhooks import receive_webhooks
from payment_svc.application.lookup.look_up_payments import LookUps
from payment_svc.application.ports import PaymentReader, Payments, Psp, Scope, Webhook
from payment_svc.application.psp_calls import PspCalls
from payment_svc.domain import schedule
from payment_svc.domain.payment import PspFact
from payment_svc.settings import Settings
from payment_svc.transport.events import SUBSCRIPTIONS
from payment_svc.transport.grpc import PaymentServicer, WebhookServicer


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    payments: Callable[[Connection], Payments] = PostgresPayments,
    reader: PaymentReader | None = None,
    psp: Psp | None = None,
) -> None:
    """Put the payment service onto its runtime; what a test gives takes the place of the real thing."""
    reader = reader or PostgresPaymentReader(runtime.database)
    if psp is None:
        psp = stripe = StripeGateway(
            api_key=settings.psp_api_key, base_url=settings.psp_base_url, return_url=settings.return_url
        )
        runtime.closers.append(stripe.close)

    def scope(step: Step) -> Scope:
        return Scope(
            payments=payments(step.connection),
            new_id=runtime.new_id,
            clock=runtime.clock,
            charge=lambda new: step.after_commit(partial(charger.charge, new)),
            fee_bp=settings.platform_fee_bp,
            psp=psp.name,
        )

    linger_s = settings.fact_linger_ms / 1000
    facts = runtime.gather(
        "psp_facts",
        one_bad_item_fails_alone(partial(_apply_facts, runtime.steps, scope)),
        linger_s=linger_s,
        # What the PSP has said is not refused; there is as much of it as calls to the PSP at a time.
        patience_s=None,
    )
    webhooks = runtime.gather(
        "webhooks",
        one_bad_item_fails_alone(partial(_receive_webhooks, runtime.steps, scope)),
        linger_s=linger_s,
    )
    calls = PspCalls()
    charger = Charger(psp, calls, facts.submit)
    look_ups = LookUps(
        psp,
        reader,
        calls,
        charger,
        facts.submit,
        clock=runtime.clock,
        action_ttl_s=settings.action_ttl_s,
    )
    runtime.closers.append(calls.finish)
    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.every(schedule.LOOK_UP_DUE, look_ups.look_up_due)
    runtime.serve(
        "florin.payment.v1.PaymentService",
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
        PaymentServicer(reader),
    )
    runtime.serve(
        "florin.payment.v1.WebhookService",
        payment_service_pb2_grpc.add_WebhookServiceServicer_to_server,
        WebhookServicer(read=partial(read_webhook, secret=settings.psp_webhook_secret), webhooks=webhooks),
    )


async def _apply_facts(steps: Steps, scope: Callable[[Step], Scope], facts: list[PspFact]) -> Sequence[None]:
    async def body(step: Step) -> None:
        step.emit((await apply_psp_facts(scope(step), facts)).events)

    await steps.take(body)
    return [None] * len(facts)


async def _receive_webhooks(
    steps: Steps, scope: Callable[[Step], Scope], webhooks: list[Webhook]
) -> Sequence[bool]:
    async def body(step: Step) -> list[bool]:
        duplicates, events = await receive_webhooks(scope(step), webhooks)
        step.emit(events)
        return duplicates

    return await steps.take(body)
