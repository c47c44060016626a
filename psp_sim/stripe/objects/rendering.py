"""Stripe's JSON for each row: a template of what never varies, and the row over it."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from psp_sim.stripe import tokens
from psp_sim.stripe.errors import doc_url
from psp_sim.stripe.objects.fixed_parts import APPROVED, BILLING, CHARGE, CHECKS, EVIDENCE, PAYMENT_INTENT
from psp_sim.stripe.objects.rows import (
    BalanceTransaction,
    Charge,
    Dispute,
    Event,
    PaymentIntent,
    Refund,
    Row,
)
from psp_sim.stripe.tokens import Decline, Token

Document = dict[str, Any]

# The version of Stripe's API whose shapes these are.
API_VERSION: Final = "2026-10-28.endive"

# Stripe pays card money out two days after it was charged.
AVAILABLE_AFTER_S: Final = 2 * 24 * 3600
# A merchant has about a week to answer a dispute.
EVIDENCE_DUE_AFTER_S: Final = 7 * 24 * 3600

# Where on the simulator a buyer passes or fails 3-D Secure.
AUTHENTICATION_PATH: Final = "/_sim/3ds/"


class Renderer:
    """Turns rows into Stripe's JSON for a simulator at a given public address."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._renderers: dict[type, Callable[[Any, int], Document]] = {
            PaymentIntent: self._payment_intent,
            Charge: _charge,
            Refund: _refund,
            Dispute: _dispute,
            BalanceTransaction: _balance_transaction,
            Event: _event,
        }

    def document(self, row: Row, now: int) -> Document:
        """Return the object's JSON document as of a time (Unix seconds)."""
        return self._renderers[type(row)](row, now)

    def encoded(self, row: Row, now: int) -> bytes:
        """Return the object's JSON as bytes."""
        return orjson.dumps(self.document(row, now))

    def authentication_url(self, intent_id: str) -> str:
        """Return where a buyer passes or fails 3-D Secure for a payment intent."""
        return f"{self._public_url}{AUTHENTICATION_PATH}{intent_id}"

    def _payment_intent(self, row: PaymentIntent, now: int) -> Document:
        document = {
            **PAYMENT_INTENT,
            **row.echoed,
            "id": row.id,
            "amount": row.amount,
            "amount_capturable": row.amount_capturable,
            "amount_received": row.amount_received,
            "canceled_at": row.canceled_at,
            "cancellation_reason": row.cancellation_reason,
            "capture_method": row.capture_method,
            "client_secret": row.client_secret,
            "created": row.created,
            "currency": row.currency,
            "customer": row.customer,
            "description": row.description,
            "last_payment_error": row.last_payment_error,
            "latest_charge": row.latest_charge,
            "metadata": row.metadata,
            "payment_method": row.payment_method,
            "receipt_email": row.receipt_email,
            "status": row.status,
        }
        if row.status == "requires_action":
            document["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "return_url": row.return_url,
                    "url": self.authentication_url(row.id),
                },
            }
        elif row.status == "processing" and document["payment_method_types"] == ["card"]:
            document["processing"] = {"type": "card", "card": {"customer_notification": None}}
        return document


def _charge(row: Charge, now: int) -> Document:
    token = tokens.named(row.payment_method)
    declined = row.status == "failed"
    outcome = _declined_outcome(token.decline) if declined and token.decline else APPROVED
    return {
        **CHARGE,
        "id": row.id,
        "amount": row.amount,
        "amount_captured": row.amount_captured,
        "amount_refunded": row.amount_refunded,
        "balance_transaction": row.balance_transaction,
        "captured": row.captured,
        "created": row.created,
        "currency": row.currency,
        "customer": row.customer,
        "description": row.description,
        "disputed": row.disputed,
        "failure_code": token.decline.code if declined and token.decline else None,
        "failure_message": token.decline.message if declined and token.decline else None,
        "metadata": row.metadata,
        "outcome": outcome,
        "paid": row.status == "succeeded",
        "payment_intent": row.payment_intent,
        "payment_method": row.payment_method,
        "payment_method_details": _method_details(token, row),
        "receipt_email": row.receipt_email,
        "receipt_url": f"https://pay.stripe.com/receipts/{row.id}",
        "refunded": row.captured and row.amount_refunded == row.amount_captured,
        # The refunds themselves are one request away, as at Stripe unless they are expanded.
        "refunds": {
            "object": "list",
            "data": [],
            "has_more": row.amount_refunded > 0,
            "url": f"/v1/charges/{row.id}/refunds",
        },
        "status": row.status,
    }


def _declined_outcome(decline: Decline) -> Document:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": decline.network_status,
        "reason": decline.reason,
        "risk_level": "highest" if decline.outcome_type == "blocked" else "normal",
        "seller_message": decline.seller_message,
        "type": decline.outcome_type,
    }


def _method_details(token: Token, row: Charge) -> Document:
    if token.type != "card":
        return {"type": token.type, token.type: {"last4": token.last4, "bank_name": "STRIPE TEST"}}
    authenticated = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    card = {
        "amount_authorized": row.amount if row.status == "succeeded" else None,
        "authorization_code": None,
        "brand": token.brand,
        "checks": CHECKS,
        "country": "US",
        "exp_month": 8,
        "exp_year": 2030,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": f"sim{token.brand}{token.last4}",
        "funding": "credit",
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": token.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": token.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": row.amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": authenticated if row.authenticated else None,
        "transaction_link_id": None,
        "wallet": None,
    }
    return {"card": card, "type": "card"}


def _refund(row: Refund, now: int) -> Document:
    document: Document = {
        "id": row.id,
        "object": "refund",
        "amount": row.amount,
        "balance_transaction": row.balance_transaction,
        "charge": row.charge,
        "created": row.created,
        "currency": row.currency,
        "customer": None,
        "customer_account": None,
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": None, "type": "refund"},
            "type": "card",
        },
        "metadata": row.metadata,
        "payment_intent": row.payment_intent,
        "payment_method": None,
        "reason": row.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": row.status,
        "transfer_reversal": None,
    }
    if row.failure_reason is not None:
        document["failure_reason"] = row.failure_reason
        document["failure_balance_transaction"] = row.failure_balance_transaction
    return document


def _dispute(row: Dispute, now: int) -> Document:
    due_by = row.created + EVIDENCE_DUE_AFTER_S
    return {
        "id": row.id,
        "object": "dispute",
        "amount": row.amount,
        "balance_transactions": row.balance_transactions,
        "charge": row.charge,
        "created": row.created,
        "currency": row.currency,
        "enhanced_eligibility_types": [],
        "evidence": {**EVIDENCE, **row.evidence},
        "evidence_details": {
            "due_by": due_by,
            "enhanced_eligibility": {},
            "has_evidence": bool(row.evidence),
            "past_due": now > due_by,
            "submission_count": 1 if row.evidence else 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": row.payment_intent,
        "payment_method_details": {
            "card": {
                "brand": tokens.named(row.payment_method).brand,
                "case_type": "chargeback",
                "network": tokens.named(row.payment_method).brand,
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": "fraudulent",
        "status": row.status,
    }


def _balance_transaction(row: BalanceTransaction, now: int) -> Document:
    available_on = row.created + AVAILABLE_AFTER_S
    fees = [
        {
            "amount": row.fee,
            "application": None,
            "currency": row.currency,
            "description": "Stripe processing fees" if row.type == "charge" else "Dispute fee",
            "type": "stripe_fee",
        }
    ]
    return {
        "id": row.id,
        "object": "balance_transaction",
        "amount": row.amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": row.created,
        "currency": row.currency,
        "description": row.description,
        "exchange_rate": None,
        "fee": row.fee,
        "fee_details": fees if row.fee else [],
        "net": row.amount - row.fee,
        "reporting_category": row.reporting_category,
        "source": row.source,
        "status": "available" if now >= available_on else "pending",
        "type": row.type,
    }


def _event(row: Event, now: int) -> Document:
    return {
        "id": row.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": row.created,
        # Spliced in as it was, byte by byte: the snapshot is never parsed again.
        "data": {"object": orjson.Fragment(row.body)},
        "livemode": False,
        "pending_webhooks": 1 if row.awaits_delivery else 0,
        "request": {"id": row.request_id, "idempotency_key": row.idempotency_key},
        "type": row.type,
    }


def payment_method(token: Token, now: int) -> Document:
    """Return Stripe's payment method object for a test token."""
    details: Document = {"last4": token.last4}
    if token.type == "card":
        details = {
            "brand": token.brand,
            "checks": CHECKS,
            "country": "US",
            "display_brand": token.brand,
            "exp_month": 8,
            "exp_year": 2030,
            "fingerprint": f"sim{token.brand}{token.last4}",
            "funding": "credit",
            "generated_from": None,
            "last4": token.last4,
            "networks": {"available": [token.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }
    return {
        "id": token.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": BILLING,
        token.type: details,
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": token.type,
    }


def payment_error(token: Token, decline: Decline, charge_id: str | None, now: int) -> Document:
    """Return what a declined payment shows as `last_payment_error` and in the 402 itself."""
    return {
        "charge": charge_id,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": doc_url(decline.code),
        "message": decline.message,
        "payment_method": payment_method(token, now),
        "type": "card_error",
    }
