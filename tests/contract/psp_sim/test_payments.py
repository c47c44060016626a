"""Payments, authentication, captures and refunds, as the real `stripe` library sees them."""

import asyncio
from typing import Any

import pytest
import stripe

from tests.contract.psp_sim.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Outcomes


@pytest.mark.parametrize(
    "method", ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_refundFail"]
)
async def test_a_good_card_pays(shop: Shop, method: str) -> None:
    intent = await shop.pay(method, metadata={"order": "ord_1"})
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert intent.metadata["order"] == "ord_1"
    charge = await shop.stripe.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.paid, charge.captured, charge.outcome.type) == (True, True, "authorized")


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
    ],
)
async def test_a_declined_card_is_a_card_error_that_shows_the_intent(
    shop: Shop, method: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await shop.pay(method)
    error: Any = refused.value.error
    assert refused.value.http_status == 402
    assert (error.code, error.decline_code) == (code, decline_code)
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.code == code
    assert error.payment_intent.payment_method is None
    charge = await shop.stripe.v1.charges.retrieve_async(error.charge)
    assert (charge.status, charge.paid) == ("failed", False)
    blocked = method == "pm_card_radarBlock"
    assert charge.outcome.type == ("blocked" if blocked else "issuer_declined")
    (webhook,) = await shop.inbox.wait_for(lambda d: d.is_about(error.payment_intent.id))
    assert webhook.document["type"] == "payment_intent.payment_failed"


async def test_a_declined_intent_can_be_paid_with_another_card(shop: Shop) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await shop.pay("pm_card_chargeDeclined")
    error: Any = refused.value.error
    intent = await shop.stripe.v1.payment_intents.confirm_async(
        error.payment_intent.id, {"payment_method": "pm_card_visa"}
    )
    assert (intent.status, intent.last_payment_error) == ("succeeded", None)
    charges = await shop.stripe.v1.charges.list_async({"payment_intent": intent.id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


async def test_a_bank_debit_stays_in_processing(shop: Shop) -> None:
    intent = await shop.pay("pm_usBankAccount_processing", currency="usd")
    assert intent.status == "processing"
    (webhook,) = await shop.inbox.wait_for(lambda d: d.is_about(intent.id))
    assert webhook.document["type"] == "payment_intent.processing"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.stripe.v1.payment_intents.cancel_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


async def test_a_disputed_charge_succeeds_and_is_then_taken_back(shop: Shop) -> None:
    intent = await shop.pay("pm_card_createDispute")
    assert intent.status == "succeeded"
    disputes = await shop.stripe.v1.disputes.list_async({"payment_intent": intent.id})
    (dispute,) = disputes.data
    assert (dispute.status, dispute.amount) == ("needs_response", 2000)
    (opened_,) = await shop.inbox.wait_for(lambda d: d.is_about(dispute.id))
    assert opened_.document["type"] == "charge.dispute.created"
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        await shop.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    lost = await shop.stripe.v1.disputes.close_async(dispute.id)
    assert lost.status == "lost"
    await shop.inbox.wait_for(lambda d: d.is_about(dispute.id, "charge.dispute.closed"))


async def test_an_unknown_payment_method_is_no_charge(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.pay("pm_card_nonesuch")
    assert (refused.value.code, refused.value.param) == ("resource_missing", "payment_method")


# Authorise, capture, cancel


async def test_manual_capture_takes_a_part_once(shop: Shop) -> None:
    intent = await shop.pay(capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 2000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.stripe.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2001})
    assert refused.value.param == "amount_to_capture"
    captured = await shop.stripe.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 1500, "expand": ["latest_charge.balance_transaction"]}
    )
    assert (captured.status, captured.amount_received) == ("succeeded", 1500)
    transaction = captured.latest_charge.balance_transaction
    # 2.9 % of 15.00 is 43.5 cents, rounded up, and 30 more.
    assert (transaction.amount, transaction.fee, transaction.net) == (1500, 74, 1426)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await shop.stripe.v1.payment_intents.capture_async(intent.id)
    assert again.value.code == "payment_intent_unexpected_state"
    deliveries = await shop.inbox.wait_for(lambda d: d.is_about(intent.id), count=2)
    assert {delivery.document["type"] for delivery in deliveries} == {
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
    }


async def test_a_cancelled_authorisation_can_not_be_captured(shop: Shop) -> None:
    intent = await shop.pay(capture_method="manual")
    cancelled = await shop.stripe.v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert (cancelled.status, cancelled.amount_capturable) == ("canceled", 0)
    with pytest.raises(stripe.InvalidRequestError, match="has a status of canceled"):
        await shop.stripe.v1.payment_intents.capture_async(intent.id)
    await shop.inbox.wait_for(lambda d: d.is_about(intent.id, "payment_intent.canceled"))


# 3-D Secure


@pytest.mark.parametrize(
    ("action", "capture_method", "status", "event_type"),
    [
        ("complete", "automatic", "succeeded", "payment_intent.succeeded"),
        (
            "complete",
            "manual",
            "requires_capture",
            "payment_intent.amount_capturable_updated",
        ),
        ("fail", "automatic", "requires_payment_method", "payment_intent.payment_failed"),
    ],
)
async def test_3d_secure_decides_the_payment(
    shop: Shop, action: str, capture_method: str, status: str, event_type: str
) -> None:
    intent = await shop.pay(
        "pm_card_authenticationRequired",
        capture_method=capture_method,
        return_url="https://shop.example/return?cart=7",
    )
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    redirect = intent.next_action.redirect_to_url
    assert redirect is not None
    assert redirect.url == f"{shop.simulator.base_url}/_sim/3ds/{intent.id}"
    async with shop.session.get(redirect.url) as page:
        html = await page.text()
    assert "Complete" in html
    assert "Fail" in html
    async with shop.session.post(
        f"{redirect.url}/{action}", headers={"Accept": "text/html"}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        assert answer.headers["Location"].startswith("https://shop.example/return?cart=7&")
    after = await shop.stripe.v1.payment_intents.retrieve_async(intent.id)
    assert after.status == status
    await shop.inbox.wait_for(lambda d: d.is_about(intent.id, event_type))
    code, refused = await shop.control("POST", f"3ds/{intent.id}/complete")
    assert (code, refused["error"]["code"]) == (400, "payment_intent_unexpected_state")


async def test_without_the_buyer_3d_secure_is_a_decline(shop: Shop) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await shop.pay("pm_card_authenticationRequired", off_session=True)
    assert refused.value.code == "authentication_required"


# Refunds


async def test_refunds_never_exceed_what_is_left(shop: Shop) -> None:
    intent = await shop.pay()
    refunds = shop.stripe.v1.refunds
    attempts = await asyncio.gather(
        *(refunds.create_async({"payment_intent": intent.id, "amount": 600}) for _ in range(10)),
        return_exceptions=True,
    )
    done = [attempt for attempt in attempts if isinstance(attempt, stripe.Refund)]
    assert len(done) == 3
    rest = await refunds.create_async({"charge": str(intent.latest_charge)})
    assert rest.amount == 200
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    charge = await shop.stripe.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (2000, True)
    await shop.inbox.wait_for(lambda d: d.is_about(charge.id, "charge.refunded"), count=4)


@pytest.mark.parametrize(
    ("method", "first", "last", "refunded"),
    [
        ("pm_card_refundFail", "succeeded", "failed", 0),
        ("pm_card_pendingRefund", "pending", "succeeded", 2000),
    ],
)
async def test_some_refunds_change_their_mind(
    shop: Shop, method: str, first: str, last: str, refunded: int
) -> None:
    intent = await shop.pay(method)
    refund = await shop.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == first
    (webhook,) = await shop.inbox.wait_for(lambda d: d.is_about(refund.id))
    assert webhook.document["type"] == "charge.refund.updated"
    assert webhook.document["data"]["object"]["status"] == last
    charge = await shop.stripe.v1.charges.retrieve_async(str(intent.latest_charge))
    assert charge.amount_refunded == refunded
