"""Orders to start from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kit.values.trail import Trail
from order_svc.domain.order import Order, Status
from order_svc.domain.pricing import PricedLine

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER: Final = NOON + timedelta(seconds=1)


def order(**fields: Any) -> Order:
    """Return an order as it was placed at noon, but for the given fields."""
    placed = Order(
        id="ord_1",
        merchant_id="mer_1",
        customer_id="cus_1",
        lines=(PricedLine("mug", "Mug", 2, 1_000, 319),),
        currency="EUR",
        total_amount=2_000,
        tax_amount=319,
        payment_method_id="pm_card_visa",
        receipt_email="cus_1@example.com",
        trail=Trail("cor_1", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(placed, **fields)


def order_in(status: Status) -> Order:
    """Return an order on its way in a state, with what belongs to that state."""
    match status:
        case Status.REQUIRES_ACTION:
            return order().require_action("pay_1", "redirect_to_url", "https://bank.example/1", NOON)
        case Status.COMPLETED:
            return order().accounted("pay_1", "jrn_1", NOON).sold(NOON)
        case Status.FAILED:
            return order().fail("card_declined", NOON, "pay_1")
        case _:
            return order(status=status)
