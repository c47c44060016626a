"""Decides who is to be told what when an order ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from florin.common.v1.charge_pb2 import ChargeInstruction
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging.events import NewEvent, Received
from kit.values.trail import Trail
from notification_svc.application.ports import Scope
from notification_svc.domain.delivery import (
    EMAIL,
    NO_ADDRESS,
    Delivery,
    Facts,
    Line,
    Status,
    Template,
    is_deliverable,
)


async def request_receipts(scope: Scope, completed: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
    """Ask for a receipt for each completed order."""
    await _request(
        scope,
        [
            _delivery(
                scope,
                event.message.order_id,
                Template.ORDER_COMPLETED,
                event.message.charge,
                event.trail,
                payment_id=event.message.payment_id,
                lines=tuple([Line(line.sku, line.quantity) for line in event.message.lines]),
            )
            for event in completed
        ],
    )
    return []


async def request_apologies(scope: Scope, failed: Sequence[Received[OrderFailed]]) -> list[NewEvent]:
    """Ask for a message to each buyer whose order failed."""
    await _request(
        scope,
        [
            _delivery(
                scope,
                event.message.order_id,
                Template.ORDER_FAILED,
                event.message.charge,
                event.trail,
                reason=event.message.reason,
            )
            for event in failed
        ],
    )
    return []


async def _request(scope: Scope, deliveries: Iterable[Delivery]) -> None:
    # A buyer who gave no address wants no e-mail.
    wanted = [delivery for delivery in deliveries if delivery.recipient]
    if wanted:
        added = await scope.requests.add(wanted)
        scope.send_after_commit([delivery for delivery in added if delivery.status is Status.PENDING])


def _delivery(
    scope: Scope,
    order_id: str,
    template: Template,
    charge: ChargeInstruction,
    trail: Trail,
    *,
    payment_id: str = "",
    reason: str = "",
    lines: tuple[Line, ...] = (),
) -> Delivery:
    deliverable = is_deliverable(charge.receipt_email)
    return Delivery(
        id=scope.new_id("dlv"),
        order_id=order_id,
        channel=EMAIL,
        template=template,
        recipient=charge.receipt_email,
        facts=Facts(
            merchant_id=charge.merchant_id,
            amount=charge.amount,
            tax_amount=charge.tax_amount,
            currency=charge.currency,
            payment_id=payment_id,
            reason=reason,
            lines=lines,
        ),
        trail=trail,
        status=Status.PENDING if deliverable else Status.FAILED,
        attempts=1 if deliverable else 0,
        last_error="" if deliverable else NO_ADDRESS,
        requested_at=scope.clock(),
    )
