"""Payment intents: created, confirmed, authenticated, captured, cancelled."""

from dataclasses import replace
from typing import Final

from psp_sim.control.faults import Fault
from psp_sim.stripe import tokens
from psp_sim.stripe.errors import ApiError, doc_url, invalid_request, missing_param
from psp_sim.stripe.objects.rendering import payment_error, payment_method
from psp_sim.stripe.objects.rows import IntentStatus, PaymentIntent
from psp_sim.stripe.objects.unit_of_work import UnitOfWork
from psp_sim.stripe.payments import charges, disputes, money
from psp_sim.stripe.requests import forms
from psp_sim.stripe.requests.forms import Params
from psp_sim.stripe.tokens import Authorisation, Decline, Token
from psp_sim.webhooks import Manner

# The states in which each call may be made.
ALLOWED_IN: Final[dict[str, tuple[IntentStatus, ...]]] = {
    "confirm": ("requires_payment_method", "requires_confirmation", "requires_action"),
    "capture": ("requires_capture",),
    "cancel": (
        "requires_payment_method",
        "requires_capture",
        "requires_confirmation",
        "requires_action",
    ),
}
_PAST_TENSE: Final = {"confirm": "confirmed", "capture": "captured", "cancel": "canceled"}

# What Stripe stores and shows, and nothing here depends on.
_ECHOED_TEXTS: Final = (
    "on_behalf_of",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)

CONFIRM_PARAMS: Final = frozenset(
    """
    capture_method error_on_requires_action expand mandate mandate_data off_session
    payment_method payment_method_data payment_method_options payment_method_types
    radar_options receipt_email return_url setup_future_usage shipping use_stripe_sdk
    """.split()
)
CREATE_PARAMS: Final = CONFIRM_PARAMS | frozenset(
    """
    amount application_fee_amount automatic_payment_methods confirm confirmation_method currency
    customer description metadata on_behalf_of payment_method_configuration
    statement_descriptor statement_descriptor_suffix transfer_data transfer_group
    """.split()
)
CAPTURE_PARAMS: Final = frozenset(
    """
    amount_to_capture application_fee_amount expand final_capture metadata
    statement_descriptor statement_descriptor_suffix transfer_data
    """.split()
)
CANCEL_PARAMS: Final = frozenset(("cancellation_reason", "expand"))

_CANCELLATION_REASONS: Final = (
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "abandoned",
)

# Stripe's wording when a buyer fails 3-D Secure.
_AUTHENTICATION_FAILED: Final = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or "
    "a new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def create(unit: UnitOfWork, params: Params) -> PaymentIntent:
    """Return a new payment intent, confirmed at once if the caller asks for it.

    Raises:
        ApiError: 400 for what cannot be charged; 402 with the intent if the card is declined.
    """
    amount = forms.required_amount(params, "amount")
    currency = (forms.text(params, "currency") or "").lower()
    if not currency:
        raise missing_param("currency")
    money.check_charge(amount, currency)
    method = forms.text(params, "payment_method")
    token = tokens.named(method) if method else None
    intent_id = unit.new_id("pi")
    intent = PaymentIntent(
        id=intent_id,
        created=unit.now,
        amount=amount,
        currency=currency,
        status="requires_confirmation" if method else "requires_payment_method",
        capture_method=_capture_method(params) or "automatic",
        client_secret=unit.new_id(f"{intent_id}_secret"),
        metadata=forms.metadata(params),
        echoed=_echoed(params, token),
        customer=forms.text(params, "customer"),
        description=forms.text(params, "description"),
        receipt_email=forms.text(params, "receipt_email"),
        payment_method=method,
        return_url=forms.text(params, "return_url"),
    )
    unit.announce("payment_intent.created", intent)
    if not forms.flag(params, "confirm"):
        unit.put(intent)
        return intent
    if token is None:
        raise _without_method()
    return _attempt(unit, intent, token, interactive=_is_interactive(params))


def confirm(unit: UnitOfWork, params: Params, intent_id: str) -> PaymentIntent:
    """Return the payment intent after trying its payment method, or the one given now.

    Raises:
        ApiError: 404, 400 in a state that cannot be confirmed, 402 if the card is declined.
    """
    intent = unit.intent(intent_id)
    _require_state(unit, intent, "confirm")
    method = forms.text(params, "payment_method") or intent.payment_method
    if method is None:
        raise _without_method()
    intent = replace(
        intent,
        payment_method=method,
        capture_method=_capture_method(params) or intent.capture_method,
        receipt_email=forms.text(params, "receipt_email") or intent.receipt_email,
        return_url=forms.text(params, "return_url") or intent.return_url,
    )
    return _attempt(unit, intent, tokens.named(method), interactive=_is_interactive(params))


def capture(unit: UnitOfWork, params: Params, intent_id: str) -> PaymentIntent:
    """Return the payment intent with its authorised money taken, in whole or in part.

    What is not captured is given back to the buyer's limit; there is no second capture.

    Raises:
        ApiError: 404, 400 in another state than `requires_capture` or above the authorised.
    """
    intent = unit.intent(intent_id)
    _require_state(unit, intent, "capture")
    amount = forms.positive_amount(params, "amount_to_capture") or intent.amount_capturable
    if amount > intent.amount_capturable:
        raise invalid_request(
            f"The amount_to_capture ({amount}) must be less than or equal to the authorized amount "
            f"({intent.amount_capturable}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    assert intent.latest_charge is not None
    charges.capture(unit, unit.charge(intent.latest_charge), amount)
    intent = replace(intent, status="succeeded", amount_capturable=0, amount_received=amount)
    unit.put(intent)
    _announce(unit, "payment_intent.succeeded", intent)
    return intent


def cancel(unit: UnitOfWork, params: Params, intent_id: str) -> PaymentIntent:
    """Return the payment intent cancelled, with nothing held on the card any more.

    Raises:
        ApiError: 404, or 400 once it has succeeded, is processing or was cancelled before.
    """
    intent = unit.intent(intent_id)
    reason = forms.choice(params, "cancellation_reason", _CANCELLATION_REASONS)
    _require_state(unit, intent, "cancel")
    intent = replace(
        intent,
        status="canceled",
        amount_capturable=0,
        canceled_at=unit.now,
        cancellation_reason=reason,
    )
    unit.put(intent)
    _announce(unit, "payment_intent.canceled", intent)
    return intent


def authenticate(unit: UnitOfWork, intent_id: str, *, passed: bool) -> PaymentIntent:
    """Return the payment intent after its buyer has passed or failed 3-D Secure.

    Raises:
        ApiError: 404, or 400 if the intent does not wait for an authentication.
    """
    intent = unit.intent(intent_id)
    if intent.status != "requires_action" or intent.payment_method is None:
        raise _unexpected_state(unit, intent, "authenticated", ("requires_action",))
    token = tokens.named(intent.payment_method)
    if passed:
        return _approve(unit, intent, token, authenticated=True)
    code = "payment_intent_authentication_failure"
    intent = replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        last_payment_error={
            "code": code,
            "doc_url": doc_url(code),
            "message": _AUTHENTICATION_FAILED,
            "payment_method": payment_method(token, unit.now),
            "type": "invalid_request_error",
        },
    )
    unit.put(intent)
    _announce(unit, "payment_intent.payment_failed", intent)
    return intent


def _attempt(unit: UnitOfWork, intent: PaymentIntent, token: Token, *, interactive: bool) -> PaymentIntent:
    match token.authorisation:
        case Authorisation.APPROVED:
            return _approve(unit, intent, token, authenticated=False)
        case Authorisation.NEEDS_AUTHENTICATION if interactive:
            intent = replace(intent, status="requires_action", last_payment_error=None)
            unit.put(intent)
            _announce(unit, "payment_intent.requires_action", intent)
            return intent
        case Authorisation.DECLINED | Authorisation.NEEDS_AUTHENTICATION:
            assert token.decline is not None
            raise _decline(unit, intent, token, token.decline)
        case Authorisation.PROCESSING:
            charge = charges.new(unit, intent, token, status="pending")
            unit.put(charge)
            intent = replace(intent, status="processing", latest_charge=charge.id)
            unit.put(intent)
            _announce(unit, "payment_intent.processing", intent)
            return intent


def _approve(unit: UnitOfWork, intent: PaymentIntent, token: Token, *, authenticated: bool) -> PaymentIntent:
    charge = charges.new(unit, intent, token, status="succeeded", authenticated=authenticated)
    intent = replace(intent, latest_charge=charge.id, last_payment_error=None)
    if token.fault is Fault.WEBHOOK_REORDERED:
        # Something has to be overtaken: a state that the intent passed through before.
        _announce(unit, "payment_intent.processing", replace(intent, status="processing"))
    if intent.capture_method == "manual":
        unit.put(charge)
        intent = replace(intent, status="requires_capture", amount_capturable=intent.amount)
        unit.put(intent)
        _announce(unit, "payment_intent.amount_capturable_updated", intent)
        return intent
    charge = charges.capture(unit, charge, intent.amount)
    intent = replace(intent, status="succeeded", amount_received=intent.amount)
    unit.put(intent)
    _announce(unit, "payment_intent.succeeded", intent)
    if token.disputed:
        disputes.open_dispute(unit, charge)
    return intent


def _decline(unit: UnitOfWork, intent: PaymentIntent, token: Token, decline: Decline) -> ApiError:
    """Record the failed attempt and return the 402 that tells of it."""
    charge = charges.new(unit, intent, token, status="failed")
    unit.put(charge)
    error = payment_error(token, decline, charge.id, unit.now)
    intent = replace(
        intent,
        status="requires_payment_method",
        payment_method=None,
        latest_charge=charge.id,
        last_payment_error=error,
    )
    unit.put(intent)
    _announce(unit, "payment_intent.payment_failed", intent)
    details = {**error, "payment_intent": unit.document(intent)}
    return ApiError(402, "card_error", decline.message, decline.code, executed=True, details=details)


def _announce(unit: UnitOfWork, event_type: str, intent: PaymentIntent) -> None:
    fault = tokens.named(intent.payment_method).fault if intent.payment_method else None
    manner: Manner = ""
    if fault is Fault.WEBHOOK_DUPLICATE:
        manner = "duplicate"
    elif fault is Fault.WEBHOOK_FIRST:
        manner = "before_answer"
    elif fault is Fault.WEBHOOK_REORDERED and intent.status == "processing":
        manner = "late"
    elif fault is Fault.WEBHOOK_NEVER:
        manner = "never"
    unit.announce(event_type, intent, manner=manner)


def _echoed(params: Params, token: Token | None) -> dict[str, object]:
    echoed: dict[str, object] = {
        name: value for name in _ECHOED_TEXTS if (value := forms.text(params, name)) is not None
    }
    shipping = params.get("shipping")
    if isinstance(shipping, dict):
        echoed["shipping"] = shipping
    automatic = params.get("automatic_payment_methods")
    if isinstance(automatic, dict):
        echoed["automatic_payment_methods"] = {
            "allow_redirects": forms.text(automatic, "allow_redirects") or "always",
            "enabled": forms.flag(automatic, "enabled"),
        }
    if given := forms.words(params, "payment_method_types"):
        echoed["payment_method_types"] = given
    elif token is not None and token.type != "card":
        echoed["payment_method_types"] = [token.type]
    return echoed


def _capture_method(params: Params) -> str | None:
    return forms.choice(params, "capture_method", ("automatic", "automatic_async", "manual"))


def _is_interactive(params: Params) -> bool:
    """Tell whether a buyer is there to pass 3-D Secure."""
    off_session = forms.text(params, "off_session")
    absent = off_session is not None and off_session != "false"
    return not (absent or forms.flag(params, "error_on_requires_action"))


def _require_state(unit: UnitOfWork, intent: PaymentIntent, action: str) -> None:
    if intent.status not in ALLOWED_IN[action]:
        raise _unexpected_state(unit, intent, _PAST_TENSE[action], ALLOWED_IN[action])


def _unexpected_state(
    unit: UnitOfWork, intent: PaymentIntent, done: str, allowed: tuple[IntentStatus, ...]
) -> ApiError:
    return ApiError(
        400,
        "invalid_request_error",
        f"This PaymentIntent could not be {done} because it has a status of {intent.status}. Only "
        "a PaymentIntent with one of the following statuses may be "
        f"{done}: {', '.join(allowed)}.",
        "payment_intent_unexpected_state",
        executed=True,
        details={"payment_intent": unit.document(intent)},
    )


def _without_method() -> ApiError:
    return invalid_request(
        "You cannot confirm this PaymentIntent because it's missing a payment method. Update the "
        "PaymentIntent with a payment method and then confirm it again.",
        code="payment_intent_unexpected_state",
    )
