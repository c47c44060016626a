"""What buyers read."""

from __future__ import annotations

import pytest

from notification_svc.domain.delivery import Template
from notification_svc.domain.templates import render
from tests.unit.notification_svc.deliveries import a_delivery, a_fact


def test_a_receipt_says_what_was_bought_from_whom_and_for_how_much() -> None:
    text = render(a_delivery())
    assert text.subject == "Your receipt from mer_demo for order ord_01JJXXXXXXXXXXXXXXXXXXXXXX"
    for expected in ("2 x mug", "1 x tee-m", "€19.99", "€3.19 (included)", "pay_1", "mer_demo"):
        assert expected in text.body


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(1999, "JPY", "¥1,999"), (1999, "KWD", "1.999"), (5, "USD", "$0.05")],
)
def test_amounts_have_the_decimals_of_their_currency(amount: int, currency: str, shown: str) -> None:
    assert shown in render(a_delivery(facts=a_fact(amount=amount, currency=currency))).body


@pytest.mark.parametrize(
    ("reason", "explanation"),
    [
        ("out_of_stock", "sold out"),
        ("insufficient_funds", "not enough money"),
        ("blocked", "contact the seller"),
    ],
)
def test_a_failed_order_is_explained_in_words_and_says_that_no_money_was_kept(
    reason: str, explanation: str
) -> None:
    text = render(a_delivery(template=Template.ORDER_FAILED, facts=a_fact(reason=reason)))
    assert explanation in text.body
    assert reason not in text.body
    assert "None of your money was kept" in text.body
    assert "€19.99 (not charged)" in text.body


def test_a_reason_without_an_explanation_of_its_own_is_never_shown_as_a_code() -> None:
    text = render(a_delivery(template=Template.ORDER_FAILED, facts=a_fact(reason="rejected_by_psp")))
    assert "rejected_by_psp" not in text.body
    assert "could not be completed" in text.body


@pytest.mark.parametrize("template", list(Template))
def test_every_template_has_a_text(template: Template) -> None:
    assert render(a_delivery(template=template)).subject
