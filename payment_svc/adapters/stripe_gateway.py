"""Stripe, or the simulator that speaks its protocol: only the base address differs.

Uses the library's raw requests: the same connection, headers, keys and typed errors as its resource
methods, without building an object tree of each answer (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import stripe
from opentelemetry.trace import SpanKind

from kit import telemetry
from payment_svc.application.ports import PspUnavailable, PspUndecided
from payment_svc.domain.payment import Payment, PspFact, Source, Status

NAME: Final = "stripe"

# Stripe answers most calls within a second; after this the outcome is looked up instead.
TIMEOUT_S: Final = 5.0

# PaymentIntent.status → what it means for a payment of ours that is charged at once.
# https://docs.stripe.com/payments/paymentintents/lifecycle
_STATUS: Final[Mapping[str, Status]] = {
    "succeeded": Status.CAPTURED,
    "requires_action": Status.REQUIRES_ACTION,
    "requires_capture": Status.AUTHORIZED,
    "processing": Status.PROCESSING,
    "requires_payment_method": Status.FAILED,
    "requires_confirmation": Status.PROCESSING,
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
    """Return what a PaymentIntent says of one of our payments; None if it is not one of ours."""
    payment_id = (intent.get("metadata") or {}).get("payment_id")
    status = _STATUS.get(str(intent.get("status")))
    if not payment_id or status is None:
        return None
    error = intent.get("last_payment_error") or {}
    action = intent.get("next_action") or {}
    return PspFact(
        payment_id=payment_id,
        status=status,
        source=source,
        psp_reference=intent["id"],
        amount_captured=int(intent.get("amount_received") or 0),
        reason=_reason(error) if status is Status.FAILED else "",
        decline_code=str(error.get("decline_code") or "") if status is Status.FAILED else "",
        message=str(error.get("message") or "") if status is Status.FAILED else "",
        next_action_type=str(action.get("type") or "") if status is Status.REQUIRES_ACTION else "",
        next_action_url=str((action.get("redirect_to_url") or {}).get("url") or "")
        if status is Status.REQUIRES_ACTION
        else "",
    )


def _reason(error: Mapping[str, Any]) -> str:
    codes = (str(error.get("decline_code") or ""), str(error.get("code") or ""))
    return next((_REASONS[code] for code in codes if code in _REASONS), "card_declined")


class StripeGateway:
    """Charges at Stripe.

    Args:
        base_url: `https://api.stripe.com`, or the simulator's address.
        timeout_s: how long a call may take.
    """

    def __init__(self, *, api_key: str, base_url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._http = stripe.AIOHTTPClient(timeout=timeout_s)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url},
            http_client=self._http,
            # Retried at one layer only: by the look-up of undecided payments.
            max_network_retries=0,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    async def charge(self, payment: Payment) -> PspFact:
        """Create and confirm a PaymentIntent under the payment's key.

        Raises:
            PspUndecided: no usable answer; the money may have been taken.
            PspUnavailable: Stripe did not look at it; no money was taken.
        """
        with telemetry.span(
            "stripe POST /v1/payment_intents",
            payment.trail,
            SpanKind.CLIENT,
            {"payment_id": payment.id, "order_id": payment.order_id},
        ):
            try:
                intent = await self._request(
                    "post",
                    "/v1/payment_intents",
                    idempotency_key=payment.psp_key,
                    amount=payment.amount,
                    currency=payment.currency.lower(),
                    payment_method=payment.payment_method_id,
                    confirm="true",
                    metadata={
                        "payment_id": payment.id,
                        "order_id": payment.order_id,
                        "correlation_id": payment.trail.correlation_id,
                    },
                )
            except stripe.CardError as error:
                return self._declined(payment, error)
            except stripe.InvalidRequestError as error:
                return PspFact(
                    payment.id,
                    Status.FAILED,
                    Source.ANSWER,
                    reason="rejected_by_psp",
                    message=str(error.user_message or error),
                )
        fact = fact_of_intent(intent, Source.ANSWER)
        if fact is None or fact.payment_id != payment.id:
            raise PspUndecided(f"the answer is not about {payment.id}")
        return fact

    async def find(self, payment: Payment) -> PspFact | None:
        """Look the payment up: by Stripe's id if it is known, else by our own id in the metadata.

        Raises:
            PspUndecided, PspUnavailable: no usable answer.
        """
        with telemetry.span(
            "stripe find payment", payment.trail, SpanKind.CLIENT, {"payment_id": payment.id}
        ):
            if payment.psp_reference:
                intent = await self._request("get", f"/v1/payment_intents/{payment.psp_reference}")
                return fact_of_intent(intent, Source.LOOKUP)
            found = await self._request(
                "get",
                "/v1/payment_intents/search",
                query=f"metadata['payment_id']:'{payment.id}'",
                limit=10,
            )
        facts = [fact_of_intent(intent, Source.LOOKUP) for intent in found["data"]]
        # A success counts before anything else, should there ever be more than one.
        known = sorted(
            (fact for fact in facts if fact is not None),
            key=lambda fact: fact.status is not Status.CAPTURED,
        )
        return known[0] if known else None

    async def _request(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        """Make one call and return the JSON of its answer; card and request errors pass as they are."""
        try:
            async with asyncio.timeout(self._timeout_s + 1.0):
                response = await self._client.raw_request_async(method, path, **params)
        except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as error:
            raise PspUnavailable(str(error)) from error
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, TimeoutError) as error:
            # Connection lost, time-out, 5xx, a key that is still in use: it may have happened.
            raise PspUndecided(repr(error)) from error
        data: dict[str, Any] = response.data
        return data

    @staticmethod
    def _declined(payment: Payment, error: stripe.CardError) -> PspFact:
        answer: Any = error.json_body or {}
        body: Mapping[str, Any] = answer.get("error") or {}
        intent = body.get("payment_intent") or {}
        return PspFact(
            payment.id,
            Status.FAILED,
            Source.ANSWER,
            psp_reference=str(intent.get("id") or ""),
            reason=_reason(body),
            decline_code=str(body.get("decline_code") or body.get("code") or ""),
            message=str(body.get("message") or ""),
        )
