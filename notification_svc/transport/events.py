"""What the notification service listens to, event → use case, and what it says."""

from __future__ import annotations

from typing import Final

from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging.events import event_types
from kit.messaging.pump import Subscriptions
from notification_svc.application.ports import Scope
from notification_svc.application.request_deliveries import request_apologies, request_receipts

SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {
    OrderCompleted: request_receipts,
    OrderFailed: request_apologies,
}

# It talks to people only.
EMITS: Final = event_types()
