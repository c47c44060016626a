"""The payment failed: what was held is free again."""

from __future__ import annotations

from collections.abc import Sequence

from florin.inventory.v1.inventory_events_pb2 import StockReleased
from florin.payment.v1.payment_events_pb2 import PaymentFailed

from inventory_svc.application.ports import Scope
from inventory_svc.domain.reservation import Reservation, Status, of_order
from inventory_svc.domain.stock import combined, give_back
from kit.messaging.events import Aggregate, NewEvent, Received


async def release_stock(scope: Scope, failed: Sequence[Received[PaymentFailed]]) -> list[NewEvent]:
    """Free what the unpaid orders hold; an order that holds nothing any more stays as it is.

    Raises:
        ReservationMissing: the order never held anything.
        IllegalMove: its units are sold; a failure cannot follow a capture.
    """
    reservations = await scope.stockroom.reservations({event.message.order_id for event in failed})
    moved: list[Reservation] = []
    events: list[NewEvent] = []
    for event in failed:
        before = of_order(reservations, event.message.order_id)
        after = before.move(Status.RELEASED)
        if after is before:
            continue
        reservations[after.order_id] = after
        moved.append(after)
        events.append(_released(event, after))
    if moved:
        await scope.stockroom.move(moved, combined(give_back(r.lines for r in moved)))
    return events


def _released(event: Received[PaymentFailed], reservation: Reservation) -> NewEvent:
    message = StockReleased(
        order_id=reservation.order_id,
        reservation_id=reservation.id,
        version=reservation.version,
        reason=event.message.reason,
    )
    return NewEvent(message, Aggregate("order", reservation.order_id), event.trail)
