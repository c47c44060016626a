"""Payments and facts to start from."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kit.values.trail import Trail
from payment_svc.domain.attempt import Attempt, State
from payment_svc.domain.payment import Payment, PspFact, Source, Status

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER: Final = NOON + timedelta(seconds=1)

AMOUNT: Final = 2_000
TAKEN: Final = {Status.CAPTURED}

_STATES: Final = {
    Status.CAPTURED: State.DONE,
    Status.FAILED: State.ENDED,
    Status.VOIDED: State.ENDED,
}
_OF_ATTEMPT: Final = {each.name for each in dataclass_fields(Attempt)} - {"payment_id", "amount"}


def payment(status: Status = Status.PROCESSING, **fields: Any) -> Payment:
    """Return a payment of 2,000 that was begun at noon and is in a state, but for the given fields.

    Fields that only an attempt has are those of its one attempt.
    """
    of_attempt = {name: fields.pop(name) for name in [*fields] if name in _OF_ATTEMPT}
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
        trail=Trail("cor_1"),
        created_at=NOON,
        updated_at=NOON,
        attempts=(),
        status=status,
        amount_captured=AMOUNT if status in TAKEN else 0,
    )
    known = replace(begun, **fields)
    attempt = Attempt(
        known.id,
        "stripe",
        known.amount,
        NOON,
        state=_STATES.get(status, State.OPEN),
        psp_reference="" if status in (Status.PROCESSING, Status.UNKNOWN) else "pi_1",
    )
    return known if known.attempts else replace(known, attempts=(replace(attempt, **of_attempt),))


def known_as(wanted: Payment, psp_reference: str) -> Payment:
    """Return a payment of which is known what the PSP calls it."""
    return replace(wanted, attempts=(replace(wanted.current, psp_reference=psp_reference),))


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
    return PspFact("pay_1", status, **{"source": Source.WEBHOOK, "psp": "stripe", **said, **fields})
