"""A till: the payment service with its database, before a PSP that says what the test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from florin.common.v1.charge_pb2 import ChargeInstruction
from florin.inventory.v1.inventory_events_pb2 import StockReserved
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed, PaymentRequiresAction
from google.protobuf.message import Message

from kit.messaging.step import Step
from kit.values.clock import system_clock
from kit.values.ids import new_id
from payment_svc.adapters.postgres.payments import PostgresPaymentReader, PostgresPayments
from payment_svc.application.facts.apply_psp_facts import apply_psp_facts
from payment_svc.application.facts.take_news import take_news
from payment_svc.application.ports import Scope, Webhook
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from payment_svc.transport.events import SUBSCRIPTIONS
from tests.conftest import RecordingRuntimeFactory
from tests.support.service import RecordingRuntime, Scenario, opened, pump_of, recorded


class Till(Scenario[Scope]):
    """The payment service of a shop.

    Attributes:
        handed_over: payments that were given to the charger, after their commit.
    """

    def __init__(self, runtime: RecordingRuntime) -> None:
        super().__init__(runtime, pump_of(runtime, SUBSCRIPTIONS, self.scope))
        self.reader = PostgresPaymentReader(runtime.database)
        self.handed_over: list[Payment] = []

    def scope(self, step: Step) -> Scope:
        """Return what the use cases get, with a charger that only takes note."""
        return Scope(
            payments=PostgresPayments(step.connection),
            new_id=new_id,
            clock=system_clock,
            charge=lambda payments: step.after_commit(lambda: self.handed_over.extend(payments)),
            fee_bp=250,
            psp="stripe",
        )

    async def begin(self, *order_ids: str) -> list[Payment]:
        """Record a payment for each order and return those that are new."""
        before = len(self.handed_over)
        await self.given(*(reserved(order_id) for order_id in order_ids))
        return self.handed_over[before:]

    async def learn(self, *facts: PspFact) -> dict[int, str]:
        """Apply facts as one batch, as answers of the PSP are; return the problems."""

        async def body(step: Step) -> dict[int, str]:
            applied = await apply_psp_facts(self.scope(step), facts)
            step.emit(applied.events)
            return applied.problems

        return await self.runtime.steps.take(body)

    async def receive(self, *webhooks: Webhook) -> list[bool]:
        """Take webhooks as one batch; return which were seen before."""

        async def body(step: Step) -> list[bool]:
            taken, events = await take_news(self.scope(step), webhooks)
            step.emit(events)
            return [each.duplicate for each in taken]

        return await self.runtime.steps.take(body)

    async def payment(self, payment_id: str) -> Payment:
        """Return a payment as it is now."""
        found = await self.reader.get(payment_id)
        assert found is not None
        return found

    def said(self) -> list[Message]:
        """Return what the service has told the others since the last call."""
        return opened(recorded(self.runtime).take())

    async def make_due(self, payment: Payment) -> None:
        """Let the time come at which a payment is looked up."""
        async with self.runtime.database.connection() as connection:
            await connection.execute(
                "UPDATE attempts SET look_up_at = now() WHERE payment_id = %s AND look_up_at IS NOT NULL",
                (payment.id,),
            )

    async def let_leave_pass(self, payment: Payment) -> None:
        """Let nobody have leave to charge a payment any more."""
        await self._change(payment, "call_until = now()")

    async def make_older(self, payment: Payment, age: timedelta) -> None:
        """Let a payment's attempt have begun so long ago."""
        await self._change(payment, f"started_at = now() - interval '{age.total_seconds()} s'")

    async def _change(self, payment: Payment, change: str) -> None:
        async with self.runtime.database.connection() as connection:
            await connection.execute(f"UPDATE attempts SET {change} WHERE payment_id = %s", (payment.id,))


def reserved(
    order_id: str, *, amount: int = 2_000, tax_amount: int = 319, method: str = "pm_card_visa"
) -> StockReserved:
    """Return the event that asks for a payment."""
    charge = ChargeInstruction(
        merchant_id="mer_1",
        customer_id="cus_1",
        amount=amount,
        tax_amount=tax_amount,
        currency="EUR",
        payment_method_id=method,
    )
    return StockReserved(order_id=order_id, reservation_id="rsv_1", version=1, charge=charge)


def captured(payment: Payment, source: Source = Source.ANSWER) -> PspFact:
    """Return the PSP's word that it has taken the money."""
    return PspFact(
        payment.id,
        Status.CAPTURED,
        source,
        "stripe",
        psp_reference=f"pi_{payment.id}",
        amount_captured=payment.amount,
        currency=payment.currency,
    )


def failed(payment: Payment, source: Source = Source.ANSWER) -> PspFact:
    """Return the PSP's word that it has not."""
    return PspFact(
        payment.id,
        Status.FAILED,
        source,
        "stripe",
        psp_reference=f"pi_{payment.id}",
        reason="card_declined",
        decline_code="generic_decline",
    )


def challenged(payment: Payment) -> PspFact:
    """Return the PSP's word that the buyer has to act."""
    return PspFact(
        payment.id,
        Status.REQUIRES_ACTION,
        Source.ANSWER,
        "stripe",
        psp_reference=f"pi_{payment.id}",
        next_action_type="redirect_to_url",
        next_action_url="https://bank.example/1",
    )


def declined(payment: Payment, source: Source = Source.ANSWER) -> PspFact:
    """Return the PSP's word that it has not, and that it would still do so."""
    return replace(failed(payment, source), still_payable=True)


def webhook(
    event_id: str, fact: PspFact | None, type_: str = "payment_intent.succeeded", *, psp: str = "stripe"
) -> Webhook:
    """Return an event whose signature was right."""
    return Webhook(psp, event_id, type_, b'{"id":"' + event_id.encode() + b'"}', fact)


def ids(payments: Sequence[Payment]) -> set[str]:
    """Return the ids of payments."""
    return {payment.id for payment in payments}


@pytest.fixture
async def till(service_runtime: RecordingRuntimeFactory) -> Till:
    """A till without payments."""
    return Till(
        await service_runtime("payment_svc", emits=[PaymentCaptured, PaymentFailed, PaymentRequiresAction])
    )
