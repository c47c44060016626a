"""What a PaymentIntent, or the refusal of one, says of our payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kit.values.redaction import redact
from payment_svc.adapters.stripe.amounts import iso_amount
from payment_svc.domain.payment import Payment, PspFact, Source, Status

# What this PSP is called on payments and in the books.
NAME: Final = "stripe"

# PaymentIntent.status → what it means for a payment of ours that is charged at once.
# https://docs.stripe.com/payments/paymentintents/lifecycle
_STATUS: Final[Mapping[str, Status]] = {
    "succeeded": Status.CAPTURED,
    "requires_action": Status.REQUIRES_ACTION,
    "requires_capture": Status.AUTHORIZED,
    "processing": Status.PROCESSING,
    "requires_payment_method": Status.FAILED,
    # We create and confirm in one call: what is left like this is not going to be confirmed.
    "requires_confirmation": Status.FAILED,
    "canceled": Status.VOIDED,
}

# Stripe's error or decline code → Florin's reason, where it is not the general one.
_REASONS: Final[Mapping[str, str]] = {
    "insufficient_funds": "insufficient_funds",
    "expired_card": "expired_card",
    "processing_error": "processing_error",
    "fraudulent": "blocked",
    "payment_intent_authentication_failure": "authentication_failed",
    "authentication_required": "authentication_failed",
}


def fact_of_intent(intent: Mapping[str, Any], source: Source) -> PspFact | None:
    """Return what a PaymentIntent says of one of our payments; None if it says nothing of one."""
    payment_id = (intent.get("metadata") or {}).get("payment_id")
    status = _STATUS.get(str(intent.get("status")))
    error = intent.get("last_payment_error") or {}
    if not payment_id or status is None:
        return None
    failed = status is Status.FAILED
    if failed and not error and source is Source.WEBHOOK:
        # Nothing had been tried yet: so says `payment_intent.created`, which may come after anything.
        failed, status = False, Status.PROCESSING
    currency = str(intent.get("currency") or "").upper()
    action = (intent.get("next_action") or {}) if status is Status.REQUIRES_ACTION else {}
    return PspFact(
        payment_id=payment_id,
        status=status,
        source=source,
        psp=NAME,
        attempt=attempt_of(intent),
        psp_reference=intent["id"],
        amount_captured=iso_amount(int(intent.get("amount_received") or 0), currency),
        currency=currency,
        reason=_reason(error) if failed else "",
        decline_code=str(error.get("decline_code") or "") if failed else "",
        message=redact(str(error.get("message") or "")) if failed else "",
        next_action_type=str(action.get("type") or ""),
        next_action_url=str((action.get("redirect_to_url") or {}).get("url") or ""),
        # Stripe waits for another payment method until the intent is cancelled.
        still_payable=failed,
    )


def fact_of_decline(payment: Payment, error: Mapping[str, Any]) -> PspFact:
    """Return what the error of a declined charge says of the payment that was charged."""
    reference = str((error.get("payment_intent") or {}).get("id") or "")
    return PspFact(
        payment.id,
        Status.FAILED,
        Source.ANSWER,
        NAME,
        attempt=payment.current.number,
        psp_reference=reference,
        currency=payment.currency,
        reason=_reason(error),
        decline_code=str(error.get("decline_code") or error.get("code") or ""),
        message=redact(str(error.get("message") or "")),
        still_payable=bool(reference),
    )


def attempt_of(intent: Mapping[str, Any]) -> int:
    """Return the number of the attempt that an intent was made by; the first does not say."""
    number = str((intent.get("metadata") or {}).get("attempt") or "1")
    return int(number) if number.isdecimal() else 0


def _reason(error: Mapping[str, Any]) -> str:
    if not error:
        return "never_confirmed"
    codes = (str(error.get("decline_code") or ""), str(error.get("code") or ""))
    return next((_REASONS[code] for code in codes if code in _REASONS), "card_declined")
