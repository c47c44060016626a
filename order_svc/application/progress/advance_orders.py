"""Follows what the other services report, until an order has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from florin.payment.v1.payment_events_pb2 import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRequiresAction,
)

from kit.messaging.events import Aggregate, NewEvent, Received, event_type
from kit.values.errors import NotFound
from kit.values.trail import Trail
from order_svc.application.checkout.place_orders import charge_of, stock_lines_of
from order_svc.application.ports import Scope, TimelineStep
from order_svc.domain.order import Order, Status
from order_svc.domain.reasons import ORDER_NOT_FOUND

# The kind of journal that says that the money of an order is in the books.
_PAID: Final = "payment.captured"


async def advance_orders(scope: Scope, events: Sequence[Received[Any]]) -> list[NewEvent]:
    """Fold events into their orders, note them in the timelines, and announce the orders that ended.

    Raises:
        NotFound: an event of an order that does not exist.
        IllegalMove: an event that contradicts the order's end.
    """
    # What is about no order is nobody's here; a capture or failure that has lost its order must not be.
    events = [event for event in events if event.message.order_id or moves_its_order(event.message)]
    before = await scope.orders.lock([e.message.order_id for e in events if moves_its_order(e.message)])
    after = dict(before)
    steps: list[TimelineStep] = []
    announced: list[NewEvent] = []
    now = scope.clock()
    for event in events:
        steps.append(_step_of(event))
        if not moves_its_order(event.message):
            continue
        order = after.get(event.message.order_id)
        if order is None:
            raise NotFound(ORDER_NOT_FOUND, f"there is no order {event.message.order_id}")
        moved = apply_event(order, event.message, now)
        after[order.id] = moved
        if moved.ended and not order.ended:
            steps.append(_end_step(moved, event.trail))
            announced.append(_announcement(moved, event.trail))
    changed = [order for order_id, order in after.items() if order is not before[order_id]]
    await scope.orders.save(changed)
    await scope.orders.record(steps)
    scope.changed(changed)
    return announced


def moves_its_order(message: Any) -> bool:
    """Return whether an event can change its order; others are worth a line in the timeline."""
    match message:
        case StockReserved() | StockReleased():
            return False
        case JournalPosted():
            return bool(message.kind == _PAID)
        case _:
            return True


def apply_event(order: Order, message: Any, at: datetime) -> Order:
    """Return the order after one event; the same object if the event changes nothing."""
    if not moves_its_order(message):
        return order
    match message:
        case StockRejected():
            return order.fail(message.reason, at)
        case PaymentRequiresAction():
            action = message.next_action
            return order.require_action(message.payment_id, action.type, action.redirect_url, at)
        case PaymentCaptured():
            return order.paid(message.payment_id, at)
        case PaymentFailed():
            return order.fail(message.reason, at, message.payment_id)
        case JournalPosted():
            return order.accounted(message.payment_id, message.journal_id, at)
        case StockSold():
            return order.sold(at)
        case _:
            raise TypeError(f"no order follows {type(message).__name__}")


def _step_of(event: Received[Any]) -> TimelineStep:
    type_ = event_type(type(event.message))
    return TimelineStep(
        order_id=event.message.order_id,
        event_id=event.id,
        at=event.time,
        service=event.source,
        step=type_.name,
        detail=_detail(event.message),
        trace_id=event.trail.trace_id,
    )


def _detail(message: Any) -> str:
    """Return one sentence about an event for people."""
    match message:
        case StockReserved():
            return f"all lines held as {message.reservation_id}"
        case StockRejected():
            return f"{message.reason}: {', '.join(message.skus)}"
        case StockReleased():
            return f"stock given back: {message.reason}"
        case StockSold():
            return f"{message.reservation_id} sold"
        case PaymentRequiresAction():
            action = message.next_action
            where = f" at {action.redirect_url}" if action.redirect_url else ""
            return f"{message.payment_id} waits for the buyer: {action.type}{where}"
        case PaymentCaptured():
            return f"{message.payment_id} took {message.amount} {message.currency} ({message.psp_reference})"
        case PaymentFailed():
            code = f" ({message.decline_code})" if message.decline_code else ""
            return f"{message.payment_id} refused: {message.reason}{code}"
        case JournalPosted():
            return f"{message.journal_id} for {message.payment_id}"
        case _:
            return ""


def _end_step(order: Order, trail: Trail) -> TimelineStep:
    return TimelineStep(
        order_id=order.id,
        event_id=f"{order.id}:{order.version}",
        at=order.updated_at,
        service="order_svc",
        step=f"order.{order.status.value.lower()}",
        detail=order.reason or "paid, sold and accounted",
        trace_id=trail.trace_id,
    )


def _announcement(order: Order, trail: Trail) -> NewEvent:
    handed_on = replace(trail, correlation_id=order.trail.correlation_id)
    aggregate = Aggregate("order", order.id)
    if order.status is Status.COMPLETED:
        completed = OrderCompleted(
            order_id=order.id,
            version=order.version,
            payment_id=order.payment_id,
            charge=charge_of(order),
            lines=stock_lines_of(order),
        )
        return NewEvent(completed, aggregate, handed_on)
    failed = OrderFailed(
        order_id=order.id, version=order.version, reason=order.reason, charge=charge_of(order)
    )
    return NewEvent(failed, aggregate, handed_on)
