"""What the inventory service listens to, event → use case, and what it says."""

from __future__ import annotations

from typing import Final

from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.order.v1.order_events_pb2 import OrderPlaced
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from inventory_svc.application.ports import Scope
from inventory_svc.application.stock.release_stock import release_stock
from inventory_svc.application.stock.reserve_stock import reserve_stock
from inventory_svc.application.stock.sell_stock import sell_stock
from kit.messaging.events import event_types
from kit.messaging.pump import Subscriptions

# In the order in which the events of one order happen. A capture comes after a failure only as late money,
# and finds the units given back.
SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {
    OrderPlaced: reserve_stock,
    PaymentFailed: release_stock,
    PaymentCaptured: sell_stock,
}

EMITS: Final = event_types(StockReserved, StockRejected, StockSold, StockReleased)
