"""What Stripe's documents say of our payments; the documents are the simulator's own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from payment_svc.adapters.stripe.intents import fact_of_intent
from payment_svc.domain.payment import Source, Status
from psp_sim.stripe.errors import ApiError
from psp_sim.stripe.payments import intents
from tests.unit.psp_sim.conftest import Sim


def document(method: str | None, **params: Any) -> dict[str, Any]:
    """Return the PaymentIntent that a confirmed payment with this method leaves behind."""
    sim = Sim()
    wanted: dict[str, Any] = {
        "amount": "2000",
        "currency": "eur",
        "confirm": "true",
        "metadata": {"payment_id": "pay_1"},
        **params,
    }
    if method is not None:
        wanted["payment_method"] = method
    with suppress(ApiError):  # A decline; its intent is there all the same.
        sim.do(intents.create, wanted)
    [intent] = sim.store.intents.oldest_first()
    return sim.renderer.document(intent, sim.now)


@pytest.mark.parametrize(
    ("method", "params", "status"),
    [
        ("pm_card_visa", {}, Status.CAPTURED),
        ("pm_card_visa", {"capture_method": "manual"}, Status.AUTHORIZED),
        ("pm_card_visa", {"confirm": "false"}, Status.PROCESSING),
        (None, {"confirm": "false"}, Status.PROCESSING),
        ("pm_card_authenticationRequired", {}, Status.REQUIRES_ACTION),
        ("pm_card_chargeDeclined", {}, Status.FAILED),
        ("pm_usBankAccount_processing", {"currency": "usd"}, Status.PROCESSING),
    ],
)
def test_each_state_of_an_intent_is_a_state_of_a_payment(
    method: str | None, params: dict[str, str], status: Status
) -> None:
    intent = document(method, **params)
    fact = fact_of_intent(intent, Source.WEBHOOK)
    assert fact is not None
    assert (fact.payment_id, fact.status, fact.psp_reference) == ("pay_1", status, intent["id"])
    assert fact.source is Source.WEBHOOK
    assert fact.amount_captured == (2_000 if status is Status.CAPTURED else 0)


@pytest.mark.parametrize("method", ["pm_card_visa", None])
@pytest.mark.parametrize("source", [Source.ANSWER, Source.LOOKUP])
def test_an_intent_that_nobody_confirmed_fails_and_is_to_be_closed(
    method: str | None, source: Source
) -> None:
    fact = fact_of_intent(document(method, confirm="false"), source)
    assert fact is not None
    assert (fact.status, fact.reason, fact.still_payable) == (Status.FAILED, "never_confirmed", True)


@pytest.mark.parametrize(("metadata", "number"), [({}, 1), ({"attempt": "2"}, 2), ({"attempt": "x"}, 0)])
def test_an_intent_names_its_attempt_from_the_second_on(metadata: dict[str, str], number: int) -> None:
    intent = {**document("pm_card_visa"), "metadata": {"payment_id": "pay_1", **metadata}}
    fact = fact_of_intent(intent, Source.WEBHOOK)
    assert fact is not None
    assert (fact.psp, fact.attempt) == ("stripe", number)


def test_a_cancelled_intent_is_a_voided_payment() -> None:
    cancelled = {**document("pm_card_visa", confirm="false"), "status": "canceled"}
    fact = fact_of_intent(cancelled, Source.LOOKUP)
    assert fact is not None
    assert (fact.status, fact.source) == (Status.VOIDED, Source.LOOKUP)


@pytest.mark.parametrize(
    ("method", "reason", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "card_declined", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_radarBlock", "blocked", "fraudulent"),
    ],
)
def test_a_decline_has_florins_reason_and_the_banks_code(method: str, reason: str, decline_code: str) -> None:
    fact = fact_of_intent(document(method), Source.ANSWER)
    assert fact is not None
    assert (fact.reason, fact.decline_code) == (reason, decline_code)
    assert fact.message


def test_a_failed_challenge_is_a_failed_authentication() -> None:
    sim = Sim()
    waiting = sim.do(
        intents.create,
        {
            "amount": "2000",
            "currency": "eur",
            "confirm": "true",
            "payment_method": "pm_card_authenticationRequired",
            "metadata": {"payment_id": "pay_1"},
        },
    )
    failed = sim.do(intents.authenticate, waiting.id, passed=False)
    fact = fact_of_intent(sim.renderer.document(failed, sim.now), Source.WEBHOOK)
    assert fact is not None
    assert (fact.status, fact.reason) == (Status.FAILED, "authentication_failed")


def test_a_challenge_says_where_the_buyer_has_to_go() -> None:
    intent = document("pm_card_authenticationRequired")
    fact = fact_of_intent(intent, Source.ANSWER)
    assert fact is not None
    assert fact.next_action_type == "redirect_to_url"
    assert fact.next_action_url == f"http://sim.example/_sim/3ds/{intent['id']}"
    assert (fact.reason, fact.decline_code, fact.message) == ("", "", "")


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"order_id": "ord_1"}},
        {"status": "from_the_future"},
    ],
)
def test_an_intent_that_is_not_ours_or_not_understood_says_nothing(change: dict[str, Any]) -> None:
    assert fact_of_intent({**document("pm_card_visa"), **change}, Source.WEBHOOK) is None
