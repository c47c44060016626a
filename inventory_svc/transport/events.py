"""What the service does when something happens elsewhere."""

from __future__ import annotations

from typing import Final

from florin.order.v1.order_events_pb2 import OrderPlaced
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from inventory_svc.application.ports import Scope
from inventory_svc.application.stock.release_stock import release_stock
from inventory_svc.application.stock.reserve_stock import reserve_stock
from inventory_svc.application.stock.sell_stock import sell_stock
from kit.messaging.pump import Subscriptions

# In the order in which the events of one order happen. A capture comes after a failure only as late money,
# and finds the units given back.
SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {
    OrderPlaced: reserve_stock,
    PaymentFailed: release_stock,
    PaymentCaptured: sell_stock,
}
