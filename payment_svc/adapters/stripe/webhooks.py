"""Stripe's webhooks: checked by their signature, parsed once."""

from __future__ import annotations

from typing import Any, Final

import orjson
import stripe

from kit.values.errors import InvalidRequest
from payment_svc.adapters.stripe.intents import NAME, fact_of_intent
from payment_svc.application.ports import Webhook
from payment_svc.domain.payment import PspFact, Source
from payment_svc.domain.reasons import WEBHOOK_SIGNATURE_INVALID

# Stripe's own default: older signatures could be replayed.
TOLERANCE_S: Final = 300


def read_webhook(body: bytes, signature: str, secret: str) -> Webhook:
    """Return the event of a webhook whose signature is right.

    Raises:
        InvalidRequest: WEBHOOK_SIGNATURE_INVALID, for a wrong or old signature or a body that is no event.
    """
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
        event: dict[str, Any] = orjson.loads(body)
        event_id, type_ = event["id"], event["type"]
        if not isinstance(event_id, str) or not isinstance(type_, str):
            raise TypeError("id and type of an event are text")
        return Webhook(NAME, event_id, type_, body, _fact(event))
    except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            WEBHOOK_SIGNATURE_INVALID,
            "the signature does not fit the body, or is more than five minutes old",
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(
            WEBHOOK_SIGNATURE_INVALID, "the body is signed but is no Stripe event"
        ) from error


# Events that decide something. Others, such as payment_intent.created, show an intent on its way.
_DECISIVE: Final = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.processing",
    }
)


def _fact(event: dict[str, Any]) -> PspFact | None:
    if event["type"] not in _DECISIVE:
        return None
    return fact_of_intent(event["data"]["object"], Source.WEBHOOK)
