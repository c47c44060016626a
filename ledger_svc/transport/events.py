"""What the ledger service listens to, event → use case, and what it says."""

from __future__ import annotations

from typing import Final

from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from kit.messaging.events import event_types
from kit.messaging.pump import Subscriptions
from ledger_svc.application.ports import Scope
from ledger_svc.application.post_captures import post_captures

SUBSCRIPTIONS: Final[Subscriptions[Scope]] = {PaymentCaptured: post_captures}

EMITS: Final = event_types(JournalPosted)
