"""An order was placed: hold every line of it, or none."""

from __future__ import annotations

from collections.abc import Sequence

from florin.inventory.v1.inventory_events_pb2 import StockRejected, StockReserved
from florin.order.v1.order_events_pb2 import OrderPlaced

from inventory_svc.application.ports import Scope
from inventory_svc.domain.reservation import Reservation
from inventory_svc.domain.stock import Lines, ProductKey, Refused, allot, combined, hold, total
from kit.messaging.events import Aggregate, NewEvent, Received


async def reserve_stock(scope: Scope, placed: Sequence[Received[OrderPlaced]]) -> list[NewEvent]:
    """Hold stock for the orders of a batch, in order of arrival.

    An order that has a reservation keeps it as it is, whatever it says the second time.
    """
    first: dict[str, Received[OrderPlaced]] = {}
    for event in placed:
        first.setdefault(event.message.order_id, event)
    wanted = {order_id: _lines(event.message) for order_id, event in first.items()}
    survey = await scope.stockroom.survey(wanted, total(wanted.values()))
    new = [order_id for order_id in wanted if order_id not in survey.reserved]
    decisions = allot(survey.levels, [wanted[order_id] for order_id in new])
    held: list[Reservation] = []
    events: list[NewEvent] = []
    for order_id, refused in zip(new, decisions, strict=True):
        event = first[order_id]
        if refused is not None:
            events.append(_rejected(event, refused))
            continue
        reservation = Reservation(
            scope.new_id("rsv"), order_id, event.message.charge.merchant_id, wanted[order_id]
        )
        held.append(reservation)
        events.append(_reserved(event, reservation))
    if held:
        await scope.stockroom.add(held, combined(hold(survey.levels, [r.lines for r in held])))
    return events


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
    return NewEvent(message, Aggregate("order", reservation.order_id), event.trail)


def _rejected(event: Received[OrderPlaced], refused: Refused) -> NewEvent:
    order_id = event.message.order_id
    message = StockRejected(order_id=order_id, reason=refused.reason.value, skus=refused.skus)
    return NewEvent(message, Aggregate("order", order_id), event.trail)
