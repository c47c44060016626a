"""Payments and facts to start from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kit.values.trail import Trail
from payment_svc.domain.payment import Payment, PspFact, Source, Status

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER: Final = NOON + timedelta(seconds=1)

AMOUNT: Final = 2_000
TAKEN: Final = {Status.CAPTURED}


def payment(status: Status = Status.PROCESSING, **fields: Any) -> Payment:
    """Return a payment of 2,000 that was begun at noon and is in a state, but for the given fields."""
    begun = Payment(
        id="pay_1",
        order_id="ord_1",
        merchant_id="mer_1",
        customer_id="cus_1",
        amount=AMOUNT,
        fee_amount=50,
        tax_amount=319,
        currency="EUR",
        payment_method_id="pm_card_visa",
        psp="stripe",
        trail=Trail("cor_1"),
        created_at=NOON,
        updated_at=NOON,
        status=status,
        amount_captured=AMOUNT if status in TAKEN else 0,
        psp_reference="" if status in (Status.PROCESSING, Status.UNKNOWN) else "pi_1",
    )
    return replace(begun, **fields)


def fact(status: Status, **fields: Any) -> PspFact:
    """Return what a PSP says of that payment, but for the given fields."""
    match status:
        case Status.CAPTURED:
            said: dict[str, Any] = {"psp_reference": "pi_1", "amount_captured": AMOUNT, "currency": "EUR"}
        case Status.FAILED:
            said = {"psp_reference": "pi_1", "reason": "card_declined", "decline_code": "generic_decline"}
        case Status.REQUIRES_ACTION:
            said = {
                "psp_reference": "pi_1",
                "next_action_type": "redirect_to_url",
                "next_action_url": "https://bank.example/1",
            }
        case Status.UNKNOWN:
            said = {}
        case _:
            said = {"psp_reference": "pi_1"}
    return PspFact("pay_1", status, **{"source": Source.WEBHOOK, **said, **fields})
