"""What the order service listens to, event → use case, and what it says."""

from __future__ import annotations

from typing import Final

from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed, OrderPlaced
from florin.payment.v1.payment_events_pb2 import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRequiresAction,
)

from kit.messaging.events import event_types
from kit.messaging.pump import Subscriptions
from order_svc.application.ports import Scope
from order_svc.application.progress.advance_orders import advance_orders

SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {
    StockReserved: advance_orders,
    StockRejected: advance_orders,
    PaymentRequiresAction: advance_orders,
    PaymentCaptured: advance_orders,
    PaymentFailed: advance_orders,
    StockSold: advance_orders,
    StockReleased: advance_orders,
    JournalPosted: advance_orders,
}

EMITS: Final = event_types(OrderPlaced, OrderCompleted, OrderFailed)
