"""Stripe, or the simulator that speaks its protocol: only the base address differs.

Uses the library's raw requests: the same connection, headers, keys and typed errors as its resource
methods, without building an object tree of each answer (docs/decisions/0006).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final

import stripe
from opentelemetry.trace import SpanKind

from kit.observe import telemetry
from kit.values.redaction import redact
from payment_svc.adapters.stripe.amounts import stripe_amount
from payment_svc.adapters.stripe.intents import NAME, attempt_of, fact_of_decline, fact_of_intent
from payment_svc.adapters.stripe.listed import Listed, Wanted
from payment_svc.adapters.stripe.pace import Pace
from payment_svc.application.ports import PspKeySpent, PspRejected, PspUnavailable, PspUndecided
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source, Status

# Stripe answers most calls within a second; after this the outcome is looked up instead.
TIMEOUT_S: Final = 5.0

# Stripe forgets keys after 24 hours; an hour of that is kept in reserve.
KEY_LIFETIME: Final = timedelta(hours=23)

# The only payment methods that we hand on: Stripe would take other objects in their place, such as sources.
_PAYMENT_METHOD: Final = re.compile(r"pm_[A-Za-z0-9_]{1,80}")

# Stripe's clock and ours may differ by this much where one looks for what was made at a time. What is not
# found then is charged under another key, so it had better be too much.
_CLOCKS_DIFFER: Final = timedelta(minutes=1)

# Pages of a hundred that each process reads of Stripe's list. Stripe answers an account a hundred reads a
# second.
_LISTS_PER_S: Final = 10.0


class StripeGateway:
    """Charges at Stripe.

    Args:
        base_url: `https://api.stripe.com`, or the simulator's address.
        return_url: page of the shop to which a bank sends its customer back; none is named if it is empty.
        searches_per_s: how many searches this process may ask for.
        lists_per_s: how many pages of the list.
        timeout_s: how long a call may take.
    """

    name: Final = NAME
    key_lifetime: Final = KEY_LIFETIME

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        return_url: str = "",
        searches_per_s: float = 5.0,
        lists_per_s: float = _LISTS_PER_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._searches = Pace(searches_per_s)
        self._listed = Listed(self._page, Pace(lists_per_s))
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
        await self._listed.close()
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    async def charge(self, payment: Payment) -> PspFact:
        """Create and confirm a PaymentIntent under the current attempt's key.

        Raises:
            PspRejected: Stripe refuses the call for good.
            PspKeySpent: Stripe keeps an error of its own under the key.
            PspUndecided: no usable answer; the money may have been taken.
            PspUnavailable: Stripe did not look at it; no money was taken.
        """
        if not _PAYMENT_METHOD.fullmatch(payment.payment_method_id):
            raise PspRejected("Stripe takes its own payment methods only, whose ids begin with `pm_`")
        with _span("stripe POST /v1/payment_intents", payment):
            try:
                intent = await self._request(
                    "post",
                    "/v1/payment_intents",
                    idempotency_key=payment.current.psp_key,
                    amount=stripe_amount(payment.current.amount, payment.currency),
                    currency=payment.currency.lower(),
                    payment_method=payment.payment_method_id,
                    confirm="true",
                    **self._return,
                    metadata=_metadata(payment),
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
        """Look the current attempt up: by Stripe's id if it is known, else by our own id in the metadata.

        Stripe's search may lag behind by a minute. What it does not find yet is charged again under the
        same key, which Stripe remembers for 24 hours: the charge that was made is then the answer. Where the
        key is spent there is no such way, so that attempt is looked for in Stripe's list, which never lags.

        Raises:
            PspUndecided, PspUnavailable: no usable answer.
        """
        with _span("stripe find payment", payment):
            try:
                if payment.current.psp_reference:
                    return _said(
                        payment,
                        await self._request("get", f"/v1/payment_intents/{payment.current.psp_reference}"),
                    )
                if payment.current.state is State.SPENT:
                    return _best(payment, await self._listed.find(_made_by(payment)))
                return _best(payment, await self._searched(payment))
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                raise PspUndecided(f"the look-up was refused: {error}") from error

    async def cancel(self, payment: Payment) -> PspFact:
        """Cancel the current attempt's intent; what cannot be cancelled is returned as what it is.

        Without a key: once cancelled is cancelled, and under a key an error of Stripe's own would be kept.

        Raises:
            PspUndecided, PspUnavailable: no usable answer.
        """
        with _span("stripe cancel payment", payment):
            try:
                path = f"/v1/payment_intents/{payment.current.psp_reference}/cancel"
                intent = await self._request("post", path)
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                intent = _body(error).get("payment_intent") or {}
                if not intent:
                    raise PspUndecided(f"it cannot be cancelled: {error}") from error
        return _said(payment, intent)

    async def _searched(self, payment: Payment) -> list[dict[str, Any]]:
        await self._searches.wait()
        query = f"metadata['payment_id']:'{payment.id}'"
        found = await self._request("get", "/v1/payment_intents/search", query=query, limit=10)
        return list(found["data"])

    async def _page(self, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._request("get", "/v1/payment_intents", **params)
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise PspRejected(str(error)) from error

    async def _request(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        """Make one call and return the JSON of its answer; card and request errors pass as they are."""
        try:
            async with asyncio.timeout(self._timeout_s + 1.0):
                response = await self._client.raw_request_async(method, path, **params)
        except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as error:
            raise PspUnavailable(str(error)) from error
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except stripe.APIError as error:
            # A 5xx. Stripe keeps that, too, under its key, and says so when it repeats it.
            repeated = (error.headers or {}).get("idempotent-replayed") == "true"
            raise (PspKeySpent if repeated else PspUndecided)(repr(error)) from error
        except (stripe.StripeError, TimeoutError) as error:
            # Connection lost, time-out, a key that is still in use: it may have happened.
            raise PspUndecided(repr(error)) from error
        data: dict[str, Any] = response.data
        return data


def _metadata(payment: Payment) -> dict[str, str]:
    """Return what an intent carries of ours.

    The first attempt has no number: the same key must come with the same parameters, also from a version of
    ours that knew of no other attempt.
    """
    number = payment.current.number
    return {
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "correlation_id": payment.trail.correlation_id,
        **({"attempt": str(number)} if number > 1 else {}),
    }


def _said(payment: Payment, intent: Mapping[str, Any]) -> PspFact:
    fact = fact_of_intent(intent, Source.LOOKUP)
    if fact is None:
        raise PspUndecided(f"what was found of {payment.id} says nothing yet")
    return fact


def _best(payment: Payment, intents: Iterable[Mapping[str, Any]]) -> PspFact | None:
    """Return what the intents of the current attempt say; a success counts before anything else."""
    facts = [_said(payment, intent) for intent in intents if attempt_of(intent) == payment.current.number]
    facts.sort(key=lambda fact: fact.status is not Status.CAPTURED)
    return facts[0] if facts else None


def _made_by(payment: Payment) -> Wanted:
    """Return what there may be of the current attempt: made between its call and its last answer."""
    since = payment.current.started_at - _CLOCKS_DIFFER
    until = payment.updated_at + _CLOCKS_DIFFER
    return Wanted(payment.id, int(since.timestamp()), int(until.timestamp()))


def _span(name: str, payment: Payment) -> AbstractContextManager[Any]:
    about = {"payment_id": payment.id, "order_id": payment.order_id}
    return telemetry.span(name, payment.trail, SpanKind.CLIENT, about)


def _body(error: stripe.CardError | stripe.InvalidRequestError) -> Mapping[str, Any]:
    answer: Any = error.json_body or {}
    return answer.get("error") or {}
