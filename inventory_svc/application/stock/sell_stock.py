"""The money was taken: what was held is sold."""

from __future__ import annotations

from collections.abc import Sequence

from florin.inventory.v1.inventory_events_pb2 import StockSold
from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from inventory_svc.application.ports import Scope
from inventory_svc.domain.reservation import Reservation, Status, of_order
from inventory_svc.domain.stock import StockChange, StockGone, allot, combined, hold, sell, total
from kit.messaging.events import Aggregate, NewEvent, Received


async def sell_stock(scope: Scope, captured: Sequence[Received[PaymentCaptured]]) -> list[NewEvent]:
    """Sell what the paid orders hold; an order that is sold already stays as it is.

    Late money, for units that were given back, takes them again if they are still there.

    Raises:
        ReservationMissing: the order never held anything.
        StockGone: late money, and others have bought the units. The event is tried again, as new stock may
            come, and at last becomes a dead letter: somebody has to refund.
    """
    reservations = await scope.stockroom.reservations({event.message.order_id for event in captured})
    moved: list[Reservation] = []
    late: list[Reservation] = []
    events: list[NewEvent] = []
    for event in captured:
        before = of_order(reservations, event.message.order_id)
        after = before.move(Status.SOLD)
        if after is before:
            continue
        reservations[after.order_id] = after
        moved.append(after)
        if before.status is Status.RELEASED:
            late.append(before)
        events.append(_sold(event, after))
    if moved:
        changes = await _hold_again(scope, late) + sell(reservation.lines for reservation in moved)
        await scope.stockroom.move(moved, combined(changes))
    return events


async def _hold_again(scope: Scope, late: Sequence[Reservation]) -> list[StockChange]:
    """Return the changes that hold once more what these orders had given back."""
    if not late:
        return []
    wanted = [reservation.lines for reservation in late]
    levels = (await scope.stockroom.survey((), total(wanted))).levels
    for reservation, refused in zip(late, allot(levels, wanted), strict=True):
        if refused is not None:
            raise StockGone(
                f"order {reservation.order_id} was paid after its stock was given back,"
                f" and there is not enough of {', '.join(refused.skus)} left"
            )
    return hold(levels, wanted)


def _sold(event: Received[PaymentCaptured], reservation: Reservation) -> NewEvent:
    message = StockSold(
        order_id=reservation.order_id, reservation_id=reservation.id, version=reservation.version
    )
    return NewEvent(message, Aggregate("order", reservation.order_id), event.trail)
