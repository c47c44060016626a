"""Stripe, or the simulator that speaks its protocol: only the base address differs.

Uses the library's raw requests: the same connection, headers, keys and typed errors as its resource
methods, without building an object tree of each answer (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import stripe
from opentelemetry.trace import SpanKind

from kit.observe import telemetry
from kit.values.redaction import redact
from payment_svc.adapters.stripe.amounts import stripe_amount
from payment_svc.adapters.stripe.intents import fact_of_decline, fact_of_intent
from payment_svc.application.ports import PspRejected, PspUnavailable, PspUndecided
from payment_svc.domain.payment import Payment, PspFact, Source, Status

# Stripe answers most calls within a second; after this the outcome is looked up instead.
TIMEOUT_S: Final = 5.0

# Stripe forgets keys after 24 hours; an hour of that is kept in reserve.
KEY_LIFETIME: Final = timedelta(hours=23)

# The only payment methods that we hand on: Stripe would take other objects in their place, such as sources.
_PAYMENT_METHOD: Final = re.compile(r"pm_[A-Za-z0-9_]{1,80}")


class StripeGateway:
    """Charges at Stripe.

    Args:
        base_url: `https://api.stripe.com`, or the simulator's address.
        return_url: page of the shop to which a bank sends its customer back; none is named if it is empty.
        timeout_s: how long a call may take.
    """

    name: Final = "stripe"
    key_lifetime: Final = KEY_LIFETIME

    def __init__(
        self, *, api_key: str, base_url: str, return_url: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        self._return = {"return_url": return_url} if return_url else {}
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
            PspRejected: Stripe refuses the call for good.
            PspUndecided: no usable answer; the money may have been taken.
            PspUnavailable: Stripe did not look at it; no money was taken.
        """
        if not _PAYMENT_METHOD.fullmatch(payment.payment_method_id):
            raise PspRejected("Stripe takes its own payment methods only, whose ids begin with `pm_`")
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
                    amount=stripe_amount(payment.amount, payment.currency),
                    currency=payment.currency.lower(),
                    payment_method=payment.payment_method_id,
                    confirm="true",
                    **self._return,
                    metadata={
                        "payment_id": payment.id,
                        "order_id": payment.order_id,
                        "correlation_id": payment.trail.correlation_id,
                    },
                )
            except stripe.CardError as error:
                return fact_of_decline(payment, _body(error))
            except stripe.InvalidRequestError as error:
                raise PspRejected(redact(str(error.user_message or error))) from error
        fact = fact_of_intent(intent, Source.ANSWER)
        if fact is None or fact.payment_id != payment.id:
            raise PspUndecided(f"the answer is not about {payment.id}")
        return fact

    async def find(self, payment: Payment) -> PspFact | None:
        """Look the payment up: by Stripe's id if it is known, else by our own id in the metadata.

        Stripe's search may lag behind by a minute. What it does not find yet is charged again under the
        same key, which Stripe remembers for 24 hours: the charge that was made is then the answer.

        Raises:
            PspUndecided, PspUnavailable: no usable answer.
        """
        try:
            return await self._find(payment)
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise PspUndecided(f"the look-up was refused: {error}") from error

    async def cancel(self, payment: Payment) -> PspFact:
        """Cancel an intent whose buyer did not come back.

        Raises:
            PspUndecided, PspUnavailable: no usable answer; it may have been paid just now.
        """
        try:
            intent = await self._request(
                "post",
                f"/v1/payment_intents/{payment.psp_reference}/cancel",
                idempotency_key=f"{payment.id}:cancel:{payment.attempt}",
                cancellation_reason="abandoned",
            )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise PspUndecided(f"it cannot be cancelled: {error}") from error
        fact = fact_of_intent(intent, Source.LOOKUP)
        if fact is None:
            raise PspUndecided("the answer to the cancellation cannot be read")
        return replace(fact, reason="authentication_expired")

    async def _find(self, payment: Payment) -> PspFact | None:
        with telemetry.span(
            "stripe find payment", payment.trail, SpanKind.CLIENT, {"payment_id": payment.id}
        ):
            if payment.psp_reference:
                intent = await self._request("get", f"/v1/payment_intents/{payment.psp_reference}")
                fact = fact_of_intent(intent, Source.LOOKUP)
                if fact is None:
                    raise PspUndecided(f"{payment.psp_reference} says nothing of the payment")
                return fact
            found = await self._request(
                "get",
                "/v1/payment_intents/search",
                query=f"metadata['payment_id']:'{payment.id}'",
                limit=10,
            )
        facts = [fact_of_intent(intent, Source.LOOKUP) for intent in found["data"]]
        if facts and not any(facts):
            raise PspUndecided(f"what was found of {payment.id} says nothing yet")
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


def _body(error: stripe.CardError) -> Mapping[str, Any]:
    answer: Any = error.json_body or {}
    return answer.get("error") or {}
