"""Deliveries for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kit.values.trail import Trail
from notification_svc.domain.delivery import EMAIL, Delivery, Facts, Line, Status, Template

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


def a_delivery(**changes: Any) -> Delivery:
    """Return the receipt of an order of two products, at its first attempt, with `changes`."""
    values: dict[str, Any] = {
        "id": "dlv_01JJXXXXXXXXXXXXXXXXXXXXXX",
        "order_id": "ord_01JJXXXXXXXXXXXXXXXXXXXXXX",
        "channel": EMAIL,
        "template": Template.ORDER_COMPLETED,
        "recipient": "ada@example.com",
        "facts": a_fact(),
        "trail": Trail("cor_1"),
        "status": Status.PENDING,
        "attempts": 1,
        "last_error": "",
        "requested_at": NOON,
    }
    return Delivery(**{**values, **changes})


def a_fact(**changes: Any) -> Facts:
    """Return what is known of an order of €19.99, with `changes`."""
    values: dict[str, Any] = {
        "merchant_id": "mer_demo",
        "amount": 1999,
        "tax_amount": 319,
        "currency": "EUR",
        "payment_id": "pay_1",
        "lines": (Line("mug", 2), Line("tee-m", 1)),
    }
    return Facts(**{**values, **changes})
