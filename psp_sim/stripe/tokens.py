"""The test payment methods: what each of them makes happen."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from psp_sim.control.faults import Fault
from psp_sim.stripe.errors import no_such


class Authorisation(StrEnum):
    """How the buyer's bank reacts to the payment method."""

    APPROVED = "approved"
    DECLINED = "declined"
    NEEDS_AUTHENTICATION = "needs_authentication"
    PROCESSING = "processing"


class RefundOutcome(StrEnum):
    """What becomes of a refund to the payment method."""

    SUCCEEDS = "succeeds"
    FAILS_LATER = "fails_later"
    SUCCEEDS_LATER = "succeeds_later"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payment method is refused, in the words of the API and of the bank."""

    code: str
    decline_code: str
    message: str
    outcome_type: str = "issuer_declined"
    network_status: str = "declined_by_network"
    reason: str | None = None
    seller_message: str = "The bank did not return any further details with this decline."


@dataclass(frozen=True, slots=True)
class Token:
    """A test payment method; by itself a Visa card that pays."""

    id: str
    brand: str = "visa"
    last4: str = "4242"
    type: str = "card"
    authorisation: Authorisation = Authorisation.APPROVED
    decline: Decline | None = None
    disputed: bool = False
    refund: RefundOutcome = RefundOutcome.SUCCEEDS
    fault: Fault | None = None


def _declined(name: str, last4: str, code: str, decline_code: str, message: str) -> Token:
    decline = Decline(code, decline_code, message, reason=decline_code)
    return Token(name, last4=last4, authorisation=Authorisation.DECLINED, decline=decline)


# Stripe answers with this when a charge that needs 3-D Secure is tried without the buyer.
AUTHENTICATION_REQUIRED: Final = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    reason="authentication_required",
)

_BLOCKED: Final = Decline(
    "card_declined",
    "fraudulent",
    "Your card was declined.",
    outcome_type="blocked",
    network_status="not_sent_to_network",
    reason="highest_risk_level",
    seller_message="Stripe blocked this payment as too risky.",
)

_DECLINED_MESSAGE: Final = "Your card was declined."

_STRIPE_TOKENS: Final = (
    Token("pm_card_visa"),
    Token("pm_card_visa_debit", last4="5556"),
    Token("pm_card_mastercard", brand="mastercard", last4="4444"),
    Token("pm_card_amex", brand="amex", last4="8431"),
    Token("pm_card_discover", brand="discover", last4="9424"),
    _declined("pm_card_chargeDeclined", "0002", "card_declined", "generic_decline", _DECLINED_MESSAGE),
    _declined(
        "pm_card_chargeDeclinedInsufficientFunds",
        "9995",
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    _declined("pm_card_chargeDeclinedLostCard", "9987", "card_declined", "lost_card", _DECLINED_MESSAGE),
    _declined(
        "pm_card_chargeDeclinedStolenCard",
        "9979",
        "card_declined",
        "stolen_card",
        _DECLINED_MESSAGE,
    ),
    _declined(
        "pm_card_chargeDeclinedExpiredCard",
        "0069",
        "expired_card",
        "expired_card",
        "Your card has expired.",
    ),
    _declined(
        "pm_card_chargeDeclinedIncorrectCvc",
        "0127",
        "incorrect_cvc",
        "incorrect_cvc",
        "Your card's security code is incorrect.",
    ),
    _declined(
        "pm_card_chargeDeclinedProcessingError",
        "0119",
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    Token(
        "pm_card_radarBlock",
        last4="4954",
        authorisation=Authorisation.DECLINED,
        decline=_BLOCKED,
    ),
    Token(
        "pm_card_authenticationRequired",
        last4="3184",
        authorisation=Authorisation.NEEDS_AUTHENTICATION,
        decline=AUTHENTICATION_REQUIRED,
    ),
    Token("pm_card_createDispute", last4="0259", disputed=True),
    Token("pm_card_refundFail", last4="5126", refund=RefundOutcome.FAILS_LATER),
    Token("pm_card_pendingRefund", last4="7726", refund=RefundOutcome.SUCCEEDS_LATER),
    Token(
        "pm_usBankAccount_processing",
        last4="2227",
        type="us_bank_account",
        authorisation=Authorisation.PROCESSING,
    ),
)

_FAULT_TOKENS: Final = tuple(Token(f"pm_sim_{fault}", fault=fault) for fault in Fault)

# Stripe's documentation writes some declined cards with their brand.
_ALIASES: Final = tuple(
    replace(token, id=token.id.replace("pm_card_", "pm_card_visa_"))
    for token in _STRIPE_TOKENS
    if token.id.startswith("pm_card_chargeDeclined")
)

TOKENS: Final[dict[str, Token]] = {token.id: token for token in (*_STRIPE_TOKENS, *_ALIASES, *_FAULT_TOKENS)}


def named(payment_method: str) -> Token:
    """Return the token of a payment method.

    Raises:
        ApiError: 400 `resource_missing` if there is none of this name.
    """
    token = TOKENS.get(payment_method)
    if token is None:
        raise no_such("PaymentMethod", payment_method, param="payment_method")
    return token
