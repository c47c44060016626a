"""What the e-mails say. Plain text: every client shows it, and nothing in it can be clicked by mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kit.values.money import format_minor
from notification_svc.domain.delivery import Delivery, Template


@dataclass(frozen=True, slots=True)
class Text:
    """A message before it is addressed."""

    subject: str
    body: str


# For buyers, who can do something about most of these. Reasons as in `Order.reason`.
_EXPLANATIONS: Final[Mapping[str, str]] = {
    "out_of_stock": "something in it sold out while you were paying.",
    "unknown_product": "the seller no longer offers something in it.",
    "card_declined": "your bank declined the card. Another card or payment method may work.",
    "insufficient_funds": "there was not enough money on the card. Another card may work.",
    "expired_card": "the card has expired. Please use another one.",
    "authentication_failed": "your bank could not confirm that it was you. Please try again.",
    "processing_error": "your bank could not be reached. Please try again in a while.",
    "blocked": "the payment could not be accepted. Please contact the seller.",
}

_EXPLANATION_OF_OTHERS: Final = "the payment could not be completed. Please try again."


def _order_completed(delivery: Delivery) -> Text:
    facts = delivery.facts
    total = format_minor(facts.amount, facts.currency)
    tax = format_minor(facts.tax_amount, facts.currency)
    lines = "\n".join([f"  {line.quantity} x {line.sku}" for line in facts.lines])
    return Text(
        subject=f"Your receipt from {facts.merchant_id} for order {delivery.order_id}",
        body=(
            "Thank you for your order. It is paid, and this is your receipt.\n"
            "\n"
            f"{lines}\n"
            "\n"
            f"Total:   {total}\n"
            f"Tax:     {tax} (included)\n"
            f"Order:   {delivery.order_id}\n"
            f"Payment: {facts.payment_id}\n"
            f"Seller:  {facts.merchant_id}\n"
        ),
    )


def _order_failed(delivery: Delivery) -> Text:
    facts = delivery.facts
    explanation = _EXPLANATIONS.get(facts.reason, _EXPLANATION_OF_OTHERS)
    return Text(
        subject=f"Your order {delivery.order_id} could not be completed",
        body=(
            f"We are sorry: your order could not be completed, because {explanation}\n"
            "\n"
            "None of your money was kept. If your bank shows a reserved amount, it goes away by itself.\n"
            "\n"
            f"Total:   {format_minor(facts.amount, facts.currency)} (not charged)\n"
            f"Order:   {delivery.order_id}\n"
            f"Seller:  {facts.merchant_id}\n"
        ),
    )


_TEMPLATES: Final[Mapping[Template, Callable[[Delivery], Text]]] = {
    Template.ORDER_COMPLETED: _order_completed,
    Template.ORDER_FAILED: _order_failed,
}


def render(delivery: Delivery) -> Text:
    """Return what the delivery's template says about its order."""
    return _TEMPLATES[delivery.template](delivery)
