"""The one place where a PSP's word changes a payment, whether it came as answer, webhook or look-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from florin.common.v1.charge_pb2 import NextAction
from florin.payment.v1.payment_events_pb2 import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRequiresAction,
)
from opentelemetry.trace import SpanKind

from kit.messaging.events import Aggregate, NewEvent
from kit.observe import telemetry
from kit.values.errors import IllegalMove
from payment_svc.application.ports import Scope
from payment_svc.domain.payment import Payment, PspFact, Source, Status

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of facts.

    Attributes:
        events: what the moves announce.
        problems: by position of the fact: why it could not be applied.
        payments: by id, as they are now.
    """

    events: list[NewEvent]
    problems: dict[int, str]
    payments: dict[str, Payment]


async def apply_psp_facts(scope: Scope, facts: Sequence[PspFact]) -> Applied:
    """Fold facts into their payments, in order; a fact that is no news changes nothing.

    Payments are locked in id order, so an answer and a webhook that arrive at the same instant follow each
    other, and the second finds nothing to do. A fact that contradicts its payment is a problem of its own
    and does not stop the others.
    """
    if not facts:
        return Applied([], {}, {})
    before = await scope.payments.lock([fact.payment_id for fact in facts])
    after = dict(before)
    applied = Applied([], {}, after)
    for position, fact in enumerate(facts):
        payment = after.get(fact.payment_id)
        if payment is None:
            applied.problems[position] = "unknown_payment"
            continue
        try:
            moved = payment.learn(fact, scope.clock())
        except IllegalMove as error:
            log.error(
                "payment.contradicted",
                payment_id=payment.id,
                correlation_id=payment.trail.correlation_id,
                error=error.message,
            )
            applied.problems[position] = f"contradicts: {error.message}"
            continue
        after[payment.id] = moved
        if moved.status is not payment.status:
            applied.events.extend(_announce(moved, fact))
    await scope.payments.save(
        before, [payment for payment_id, payment in after.items() if payment is not before[payment_id]]
    )
    return applied


def _announce(payment: Payment, fact: PspFact) -> list[NewEvent]:
    """Return the event of a move; a webhook's move is seen in the trace of the checkout."""
    message = _message(payment)
    if message is None:
        return []
    order = Aggregate("order", payment.order_id)
    if fact.source is Source.ANSWER:
        return [NewEvent(message, order, payment.trail)]
    with telemetry.span(
        f"payment {payment.status.value.lower()} by {fact.source.value}",
        payment.trail,
        SpanKind.INTERNAL,
        {"payment_id": payment.id, "order_id": payment.order_id},
    ) as trail:
        return [NewEvent(message, order, trail)]


def _message(payment: Payment) -> PaymentCaptured | PaymentFailed | PaymentRequiresAction | None:
    match payment.status:
        case Status.CAPTURED:
            return PaymentCaptured(
                payment_id=payment.id,
                order_id=payment.order_id,
                version=payment.version,
                merchant_id=payment.merchant_id,
                customer_id=payment.customer_id,
                amount=payment.amount_captured,
                fee_amount=payment.fee_amount,
                tax_amount=payment.tax_amount,
                currency=payment.currency,
                psp=payment.current.psp,
                psp_reference=payment.current.psp_reference,
            )
        case Status.FAILED | Status.VOIDED:
            return PaymentFailed(
                payment_id=payment.id,
                order_id=payment.order_id,
                version=payment.version,
                reason=payment.current.reason or "payment_cancelled",
                decline_code=payment.current.decline_code,
            )
        case Status.REQUIRES_ACTION:
            return PaymentRequiresAction(
                payment_id=payment.id,
                order_id=payment.order_id,
                version=payment.version,
                next_action=NextAction(
                    type=payment.current.next_action_type, redirect_url=payment.current.next_action_url
                ),
            )
        case _:
            return None
