"""What the payment service listens to, event → use case, and what it says."""

from __future__ import annotations

from typing import Final

from florin.inventory.v1.inventory_events_pb2 import StockReserved
from florin.payment.v1.payment_events_pb2 import (
    PaymentCaptured,
    PaymentFailed,
    PaymentRequiresAction,
)

from kit.messaging.events import event_types
from kit.messaging.pump import Subscriptions
from payment_svc.application.charge.begin_payments import begin_payments
from payment_svc.application.ports import Scope

SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {StockReserved: begin_payments}

EMITS: Final = event_types(PaymentCaptured, PaymentFailed, PaymentRequiresAction)
