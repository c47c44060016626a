"""Builds the payment service: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from florin.payment.v1 import payment_service_pb2_grpc

from kit.messaging.pump import Pump
from kit.messaging.step import Step, Steps
from kit.rpc import Server, Servicer
from kit.runtime.service import Runtime
from kit.store.batch import Gatherer, one_bad_item_fails_alone
from kit.values.clock import system_clock
from kit.values.ids import new_id
from payment_svc.adapters.postgres.payments import PostgresPaymentReader, PostgresPayments
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.webhooks import read_webhook
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.facts.receive_webhooks import receive_webhooks
from payment_svc.application.ports import Scope, Webhook
from payment_svc.domain.payment import PspFact
from payment_svc.settings import Settings
from payment_svc.transport.events import EMITS, SUBSCRIPTIONS
from payment_svc.transport.grpc import PaymentServicer, WebhookServicer

NAME = "payment_svc"

# How often undecided payments are looked for; each has its own time at which it is due.
_SWEEP_INTERVAL_S = 0.5


async def build(settings: Settings) -> Runtime:
    """Return the payment service, ready to serve."""
    runtime = Runtime.build(NAME, settings, EMITS)
    reader = PostgresPaymentReader(runtime.database)
    gateway = StripeGateway(
        api_key=settings.psp_api_key, base_url=settings.psp_base_url, return_url=settings.return_url
    )

    def scope(step: Step) -> Scope:
        return Scope(
            payments=PostgresPayments(step.connection),
            new_id=new_id,
            clock=system_clock,
            charge=lambda payments: step.after_commit(partial(charger.charge, payments)),
            fee_bp=settings.platform_fee_bp,
            psp=gateway.name,
        )

    linger_s = settings.fact_linger_ms / 1000
    facts = Gatherer(
        one_bad_item_fails_alone(partial(_apply_facts, runtime.steps, scope)),
        name="psp_facts",
        linger_s=linger_s,
    )
    webhooks = Gatherer(
        one_bad_item_fails_alone(partial(_receive_webhooks, runtime.steps, scope)),
        name="webhooks",
        linger_s=linger_s,
    )
    charger = Charger(gateway, reader, facts.submit, clock=system_clock, action_ttl_s=settings.action_ttl_s)
    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=NAME,
        subscriptions=SUBSCRIPTIONS,
        scope=scope,
        new_id=new_id,
        linger_s=settings.event_linger_ms / 1000,
        replica=settings.replica,
    )
    server = Server(
        host=settings.bind_host,
        port=settings.port,
        servicers=[
            Servicer(
                "florin.payment.v1.PaymentService",
                payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
                PaymentServicer(reader),
            ),
            Servicer(
                "florin.payment.v1.WebhookService",
                payment_service_pb2_grpc.add_WebhookServiceServicer_to_server,
                WebhookServicer(
                    read=partial(read_webhook, secret=settings.psp_webhook_secret),
                    webhooks=webhooks,
                ),
            ),
        ],
    )
    runtime.worker("pump", pump.run)
    runtime.every("payments.sweep", _SWEEP_INTERVAL_S, charger.sweep)
    runtime.closers.append(gateway.close)
    runtime.gather(facts)
    runtime.gather(webhooks)
    runtime.closers.append(charger.stop)
    runtime.serve_grpc(server)
    return runtime


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
