"""An order was placed: hold every line of it, or none."""

from __future__ import annotations

from collections.abc import Sequence

from florin.inventory.v1.inventory_events_pb2 import StockRejected, StockReserved
from florin.order.v1.order_events_pb2 import OrderPlaced

from inventory_svc.application.ports import Scope
from inventory_svc.domain.reservation import Reservation
from inventory_svc.domain.stock import Lines, ProductKey, Refused, allot, combined, hold, total
from kit.events import NewEvent, Received


async def reserve_stock(scope: Scope, placed: Sequence[Received[OrderPlaced]]) -> list[NewEvent]:
    """Hold stock for the orders of a batch, in order of arrival.

    An order that has a reservation keeps it as it is, whatever it says the second time.
    """
    first = {event.message.order_id: event for event in reversed(placed)}
    known = await scope.stockroom.reservations(first)
    orders = [event for event in placed if event is first[event.message.order_id] and _is_new(event, known)]
    wanted = [_lines(event.message) for event in orders]
    levels = await scope.stockroom.levels(total(wanted))
    held: list[Reservation] = []
    events: list[NewEvent] = []
    for event, lines, refused in zip(orders, wanted, allot(levels, wanted), strict=True):
        if refused is not None:
            events.append(_rejected(event, refused))
            continue
        reservation = Reservation(
            scope.new_id("rsv"), event.message.order_id, event.message.charge.merchant_id, lines
        )
        held.append(reservation)
        events.append(_reserved(event, reservation))
    if held:
        await scope.stockroom.add(held, combined(hold(levels, [reservation.lines for reservation in held])))
    return events


def _is_new(event: Received[OrderPlaced], known: dict[str, Reservation]) -> bool:
    return event.message.order_id not in known


def _lines(placed: OrderPlaced) -> Lines:
    """Return what an order wants; lines of one product are one line."""
    merchant_id = placed.charge.merchant_id
    return total({ProductKey(merchant_id, line.sku): line.quantity} for line in placed.lines)


def _reserved(event: Received[OrderPlaced], reservation: Reservation) -> NewEvent:
    message = StockReserved(
        order_id=reservation.order_id,
        reservation_id=reservation.id,
        version=reservation.version,
        charge=event.message.charge,
    )
    return NewEvent(message, reservation.order_id, event.trail)


def _rejected(event: Received[OrderPlaced], refused: Refused) -> NewEvent:
    order_id = event.message.order_id
    message = StockRejected(order_id=order_id, reason=refused.reason.value, skus=refused.skus)
    return NewEvent(message, order_id, event.trail)
