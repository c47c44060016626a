"""The gateway before two Stripes that know nothing of each other: the simulator, and localstripe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import stripe

from kit.values.clock import system_clock
from kit.values.ids import new_id
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.webhooks import read_webhook
from payment_svc.application.ports import PspKeySpent, PspRejected, PspUnavailable, PspUndecided, Webhook
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from psp_sim.control.faults import Fault
from psp_sim.stripe.tokens import TOKENS, Authorisation
from psp_sim.testing import API_KEY, WEBHOOK_SECRET
from tests.contract.psp_sim.shop import Shop, closed, opened
from tests.support import localstripe
from tests.support.localstripe import LocalStripe, running_localstripe
from tests.support.waiting import eventually
from tests.unit.payment_svc.payments import known_as, payment

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Longer than the simulator takes on a busy machine, shorter than a test should wait for a time-out.
PATIENT_S, IMPATIENT_S = 20.0, 1.0

RETURN_URL = "https://shop.example/return"

NEVER_ANSWERED = {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.SLOW, Fault.ERROR_THEN_OK}


def fresh(method: str = "pm_card_visa", **fields: Any) -> Payment:
    """Return a payment that no PSP has heard of."""
    return payment(id=new_id("pay"), order_id=new_id("ord"), payment_method_id=method, **fields)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    shop = await opened(tmp_path_factory.mktemp("psp_sim"))
    yield shop
    await closed(shop)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(shared_shop: Shop) -> AsyncIterator[Shop]:
    """The simulator with its controls, healthy again after each test."""
    yield shared_shop
    await shared_shop.control("POST", "reset")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(shared_shop: Shop) -> AsyncIterator[StripeGateway]:
    gateway = gateway_to(shared_shop.simulator.base_url)
    yield gateway
    await gateway.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def impatient(shared_shop: Shop) -> AsyncIterator[StripeGateway]:
    gateway = gateway_to(shared_shop.simulator.base_url, timeout_s=IMPATIENT_S)
    yield gateway
    await gateway.close()


def gateway_to(base_url: str, *, api_key: str = API_KEY, timeout_s: float = PATIENT_S) -> StripeGateway:
    return StripeGateway(api_key=api_key, base_url=base_url, return_url=RETURN_URL, timeout_s=timeout_s)


async def intents_of(shop: Shop, payment: Payment) -> list[Any]:
    """Return what the simulator has on record of a payment."""
    query = f"metadata['payment_id']:'{payment.id}'"
    found = await shop.stripe.v1.payment_intents.search_async({"query": query})
    return list(found.data)


# Every test payment method


@pytest.mark.parametrize(
    "method", [token.id for token in TOKENS.values() if token.fault not in NEVER_ANSWERED]
)
async def test_every_payment_method_has_its_outcome(gateway: StripeGateway, method: str) -> None:
    token = TOKENS[method]
    # Bank debits are in dollars.
    wanted = fresh(method, currency="USD" if token.type == "us_bank_account" else "EUR")
    fact = await gateway.charge(wanted)
    assert (fact.payment_id, fact.source) == (wanted.id, Source.ANSWER)
    assert fact.psp_reference.startswith("pi_")
    match token.authorisation:
        case Authorisation.APPROVED:
            assert (fact.status, fact.amount_captured) == (Status.CAPTURED, wanted.amount)
        case Authorisation.DECLINED:
            assert token.decline is not None
            assert (fact.status, fact.decline_code) == (Status.FAILED, token.decline.decline_code)
            assert fact.message == token.decline.message
        case Authorisation.NEEDS_AUTHENTICATION:
            assert (fact.status, fact.next_action_type) == (Status.REQUIRES_ACTION, "redirect_to_url")
            assert fact.next_action_url.endswith(fact.psp_reference)
        case Authorisation.PROCESSING:
            assert fact.status is Status.PROCESSING
    found = await gateway.find(wanted)
    assert found is not None, "a look-up by our own id finds it"
    assert found == replace(fact, source=Source.LOOKUP)
    by_reference = await gateway.find(known_as(wanted, fact.psp_reference))
    assert by_reference == found


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_chargeDeclined", "card_declined"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
        ("pm_card_radarBlock", "blocked"),
    ],
)
async def test_a_decline_has_florins_reason(gateway: StripeGateway, method: str, reason: str) -> None:
    assert (await gateway.charge(fresh(method))).reason == reason


async def test_what_stripe_calls_invalid_is_rejected_for_good(gateway: StripeGateway) -> None:
    with pytest.raises(PspRejected, match="pm_of_nobody"):
        await gateway.charge(fresh("pm_of_nobody"))


@pytest.mark.parametrize("method", ["tok_visa", "src_1", "card_1", "visa", "pm_", "pm_a-b", "PM_card_visa"])
async def test_what_is_no_payment_method_of_stripes_is_rejected_without_a_call(method: str) -> None:
    # Port 9 is discard: nothing listens there, and a call would decide nothing.
    nowhere = gateway_to("http://127.0.0.1:9", timeout_s=IMPATIENT_S)
    try:
        with pytest.raises(PspRejected, match="its own payment methods only"):
            await nowhere.charge(fresh(method))
    finally:
        await nowhere.close()


@pytest.mark.parametrize(
    ("currency", "amount", "at_stripe"),
    [
        ("EUR", 500, 500),
        ("JPY", 500, 500),
        ("KRW", 1_000, 1_000),
        ("KWD", 5_000, 5_000),
        # Without decimal places by ISO 4217, in hundredths at Stripe.
        ("ISK", 500, 50_000),
        ("UGX", 5_000, 500_000),
    ],
)
async def test_every_currency_is_sent_and_read_in_the_units_it_has(
    gateway: StripeGateway, shop: Shop, currency: str, amount: int, at_stripe: int
) -> None:
    """InvoicePlane #1677: an amount in a currency without decimal places was divided by 100."""
    wanted = fresh(currency=currency, amount=amount)
    fact = await gateway.charge(wanted)
    assert (fact.amount_captured, fact.currency) == (amount, currency)
    [intent] = await intents_of(shop, wanted)
    assert (intent.amount, intent.currency) == (at_stripe, currency.lower())


async def test_the_psp_knows_order_payment_and_correlation_id(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await gateway.charge(wanted)
    [intent] = await intents_of(shop, wanted)
    assert intent.metadata.to_dict() == {
        "payment_id": wanted.id,
        "order_id": wanted.order_id,
        "correlation_id": wanted.trail.correlation_id,
    }


# One key, one charge


async def test_the_same_payment_again_is_the_same_charge(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    facts = [await gateway.charge(wanted) for _ in range(3)]
    assert facts[0] == facts[1] == facts[2]
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_decline_again_is_the_same_decline(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh("pm_card_chargeDeclined")
    assert await gateway.charge(wanted) == await gateway.charge(wanted)
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_key_that_belongs_to_another_request_decides_nothing(gateway: StripeGateway) -> None:
    wanted = fresh()
    await gateway.charge(wanted)
    dearer = replace(wanted.current, amount=wanted.amount + 1)
    with pytest.raises(PspUndecided):
        await gateway.charge(replace(wanted, attempts=(dearer,)))


async def test_a_payment_nobody_made_is_not_found(gateway: StripeGateway) -> None:
    assert await gateway.find(fresh()) is None


async def test_a_reference_that_stripe_does_not_know_decides_nothing(gateway: StripeGateway) -> None:
    with pytest.raises(PspUndecided):
        await gateway.find(fresh(psp_reference="pi_of_nobody"))


# No answer


async def test_no_answer_after_charging_is_found_by_a_look_up(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh("pm_sim_timeout_after")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    found = await gateway.find(wanted)
    assert found is not None
    assert (found.status, found.amount_captured) == (Status.CAPTURED, wanted.amount)
    assert await gateway.charge(wanted) == replace(found, source=Source.ANSWER)
    assert len(await intents_of(shop, wanted)) == 1


async def test_no_answer_without_charging_is_not_found_and_may_be_charged(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh("pm_sim_timeout_before")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    assert await gateway.find(wanted) is None
    assert (await gateway.charge(wanted)).status is Status.CAPTURED
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_server_error_decides_nothing(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh("pm_sim_error_then_ok")
    with pytest.raises(PspUndecided):
        await gateway.charge(wanted)
    assert (await gateway.charge(wanted)).status is Status.CAPTURED
    assert len(await intents_of(shop, wanted)) == 1


async def test_a_key_in_use_decides_nothing_and_charges_once(
    impatient: StripeGateway, gateway: StripeGateway, shop: Shop
) -> None:
    """The first call still runs when the look-up finds nothing: 409 `idempotency_key_in_use`."""
    wanted = fresh("pm_sim_slow")
    with pytest.raises(PspUndecided):
        await impatient.charge(wanted)
    assert await gateway.find(wanted) is None
    with pytest.raises(PspUndecided, match="409"):
        await gateway.charge(wanted)

    async def is_found() -> bool:
        return await gateway.find(wanted) is not None

    await eventually(is_found, "the slow charge is done")
    assert len(await intents_of(shop, wanted)) == 1


async def test_an_answer_that_is_cut_off_is_found_by_a_look_up(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(drop_response_rate=1.0)
    with pytest.raises(PspUndecided):
        await gateway.charge(wanted)
    with pytest.raises(PspUndecided):
        await gateway.find(wanted)
    await shop.control("POST", "reset")
    found = await gateway.find(wanted)
    assert found is not None
    assert found.status is Status.CAPTURED


async def test_an_outage_decides_nothing_and_ends(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(outage=True)
    for call in (gateway.charge, gateway.find):
        with pytest.raises(PspUndecided, match="503"):
            await call(wanted)
    await shop.control("POST", "reset")
    assert (await gateway.charge(wanted)).status is Status.CAPTURED


async def test_too_many_requests_means_that_nothing_happened(gateway: StripeGateway, shop: Shop) -> None:
    wanted = fresh()
    await shop.configure(rate_limit_rate=1.0)
    for call in (gateway.charge, gateway.find):
        with pytest.raises(PspUnavailable):
            await call(wanted)
    await shop.control("POST", "reset")
    assert await intents_of(shop, wanted) == []


async def test_a_wrong_key_means_that_nothing_happened(shop: Shop) -> None:
    stranger = gateway_to(shop.simulator.base_url, api_key="rk_nobody")
    try:
        with pytest.raises(PspUnavailable):
            await stranger.charge(fresh())
    finally:
        await stranger.close()


async def test_a_psp_that_is_not_there_decides_nothing() -> None:
    # Port 9 is discard: nothing listens there.
    gone = gateway_to("http://127.0.0.1:9", timeout_s=IMPATIENT_S)
    try:
        with pytest.raises(PspUndecided):
            await gone.charge(fresh())
        with pytest.raises(PspUndecided):
            await gone.find(fresh())
    finally:
        await gone.close()


async def test_a_hundred_payments_at_once_are_a_hundred_charges(gateway: StripeGateway, shop: Shop) -> None:
    payments = [fresh() for _ in range(100)]
    facts = await asyncio.gather(*(gateway.charge(wanted) for wanted in payments))
    assert [fact.payment_id for fact in facts] == [wanted.id for wanted in payments]
    assert len({fact.psp_reference for fact in facts}) == 100


# What is to be closed


async def test_a_challenge_that_is_cancelled_cannot_be_passed_any_more(
    gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh("pm_card_authenticationRequired")
    waiting = await gateway.charge(wanted)
    wanted = known_as(wanted, waiting.psp_reference)
    fact = await gateway.cancel(wanted)
    assert fact.status is Status.VOIDED
    assert await gateway.cancel(wanted) == fact, "again is the same"
    status, _ = await shop.control("POST", f"3ds/{waiting.psp_reference}/complete")
    assert status == 400
    found = await gateway.find(wanted)
    assert found is not None
    assert found.status is Status.VOIDED


async def test_a_decline_can_be_paid_until_it_is_cancelled(gateway: StripeGateway, shop: Shop) -> None:
    """Declined, announced as failed, its units sold to others; then confirmed with another card, and paid."""
    one, two = fresh("pm_card_chargeDeclined"), fresh("pm_card_chargeDeclined")
    card = {"payment_method": "pm_card_visa", "return_url": RETURN_URL}
    declined = await gateway.charge(one)
    assert declined.still_payable
    paid = await shop.stripe.v1.payment_intents.confirm_async(declined.psp_reference, card)
    assert paid.status == "succeeded"
    cancelled = known_as(two, (await gateway.charge(two)).psp_reference)
    await gateway.cancel(cancelled)
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        await shop.stripe.v1.payment_intents.confirm_async(cancelled.current.psp_reference, card)


async def test_what_was_paid_just_now_is_not_cancelled_and_says_so(gateway: StripeGateway) -> None:
    wanted = fresh()
    paid = await gateway.charge(wanted)
    assert await gateway.cancel(known_as(wanted, paid.psp_reference)) == replace(paid, source=Source.LOOKUP)


@pytest.mark.parametrize("method", ["pm_card_visa", None])
async def test_an_intent_that_nobody_confirmed_is_found_and_cancelled(
    gateway: StripeGateway, shop: Shop, method: str | None
) -> None:
    wanted = fresh()
    params = {"amount": 2000, "currency": "eur", "metadata": {"payment_id": wanted.id}}
    made = await shop.stripe.v1.payment_intents.create_async(
        {**params, "payment_method": method} if method else params
    )
    found = await gateway.find(wanted)
    assert found is not None
    assert (found.psp_reference, found.reason, found.still_payable) == (made.id, "never_confirmed", True)
    assert (await gateway.cancel(known_as(wanted, made.id))).status is Status.VOIDED


# An error that is kept under the key


def spent(wanted: Payment) -> Payment:
    """Return a payment whose key has been found to be spent just now."""
    now = system_clock()
    attempt = replace(wanted.current, state=State.SPENT, started_at=now)
    return replace(wanted, attempts=(attempt,), updated_at=now)


async def test_an_error_that_stripe_keeps_under_the_key_is_told_from_one_that_it_does_not(
    gateway: StripeGateway, shop: Shop
) -> None:
    wanted = fresh()
    await shop.configure(stored_error_rate=1.0)
    with pytest.raises(PspUndecided) as first:
        await gateway.charge(wanted)
    assert not isinstance(first.value, PspKeySpent), "so far it may be passing"
    await shop.control("POST", "reset")
    for _ in range(2):
        with pytest.raises(PspKeySpent):
            await gateway.charge(wanted)
    assert await gateway.find(spent(wanted)) is None
    again = replace(wanted, attempts=(wanted.current.after_it(wanted.created_at),))
    fact = await gateway.charge(again)
    assert (fact.status, fact.attempt) == (Status.CAPTURED, 2)
    assert len(await intents_of(shop, wanted)) == 1
    assert await gateway.find(spent(wanted)) is None, "what another attempt made is not the first one's"


async def test_what_a_spent_key_has_left_is_found_in_the_list(gateway: StripeGateway, shop: Shop) -> None:
    for _ in range(3):
        await gateway.charge(fresh())
    wanted = fresh()
    fact = await gateway.charge(wanted)
    for _ in range(3):
        await gateway.charge(fresh())
    assert await gateway.find(spent(wanted)) == replace(fact, source=Source.LOOKUP)


# Webhooks


async def webhook_about(shop: Shop, intent_id: str, type_: str | None = None) -> Webhook:
    """Return the webhook about an intent once it has come, read as the service reads it."""
    [delivery] = await shop.inbox.wait_for(lambda delivery: delivery.is_about(intent_id, type_))
    return read_webhook(delivery.body, delivery.signature, WEBHOOK_SECRET)


@pytest.mark.parametrize(
    "method", ["pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired"]
)
async def test_what_the_answer_says_the_webhook_says_too(
    gateway: StripeGateway, shop: Shop, method: str
) -> None:
    answer = await gateway.charge(fresh(method))
    webhook = await webhook_about(shop, answer.psp_reference)
    assert webhook.fact == replace(answer, source=Source.WEBHOOK)


@pytest.mark.parametrize(
    ("action", "type_", "status"),
    [
        ("complete", "payment_intent.succeeded", Status.CAPTURED),
        ("fail", "payment_intent.payment_failed", Status.FAILED),
    ],
)
async def test_the_end_of_a_challenge_comes_by_webhook_and_by_look_up(
    gateway: StripeGateway, shop: Shop, action: str, type_: str, status: Status
) -> None:
    wanted = fresh("pm_card_authenticationRequired")
    waiting = await gateway.charge(wanted)
    await shop.control("POST", f"3ds/{waiting.psp_reference}/{action}")
    webhook = await webhook_about(shop, waiting.psp_reference, type_)
    assert webhook.fact is not None
    assert webhook.fact.status is status
    found = await gateway.find(known_as(wanted, waiting.psp_reference))
    assert found == replace(webhook.fact, source=Source.LOOKUP)


# Somebody else's Stripe

needs_localstripe = pytest.mark.skipif(bool(localstripe.why_not()), reason=localstripe.why_not() or "it runs")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def other() -> AsyncIterator[LocalStripe]:
    async with running_localstripe() as stripe:
        yield stripe


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def other_gateway(other: LocalStripe) -> AsyncIterator[StripeGateway]:
    gateway = gateway_to(other.base_url, api_key=localstripe.API_KEY)
    yield gateway
    await gateway.close()


async def looked_up(gateway: StripeGateway, wanted: Payment, fact: PspFact) -> PspFact:
    found = await gateway.find(known_as(wanted, fact.psp_reference))
    assert found is not None
    assert (found.payment_id, found.source) == (wanted.id, Source.LOOKUP)
    return found


@needs_localstripe
async def test_localstripe_takes_our_requests_and_charges(
    other: LocalStripe, other_gateway: StripeGateway
) -> None:
    wanted = fresh(await other.card("4242424242424242"))
    fact = await other_gateway.charge(wanted)
    assert (fact.payment_id, fact.status, fact.source) == (wanted.id, Status.CAPTURED, Source.ANSWER)
    assert (await looked_up(other_gateway, wanted, fact)).status is Status.CAPTURED


@needs_localstripe
async def test_localstripe_declines_and_we_understand(
    other: LocalStripe, other_gateway: StripeGateway
) -> None:
    # It refuses most of Stripe's declined cards when they are attached to a customer; this one when it pays.
    fact = await other_gateway.charge(fresh(await other.card("4000000000000341")))
    assert (fact.status, fact.reason, fact.decline_code) == (Status.FAILED, "card_declined", "card_declined")
    assert fact.message == "Your card was declined."


@needs_localstripe
@pytest.mark.parametrize(("passed", "status"), [("true", Status.CAPTURED), ("false", Status.FAILED)])
async def test_localstripe_asks_for_authentication_and_we_follow_to_the_end(
    other: LocalStripe, other_gateway: StripeGateway, passed: str, status: Status
) -> None:
    wanted = fresh(await other.card("4000002500003155"))
    waiting = await other_gateway.charge(wanted)
    assert waiting.status is Status.REQUIRES_ACTION
    assert waiting.next_action_type == "use_stripe_sdk"
    assert (await looked_up(other_gateway, wanted, waiting)).status is Status.REQUIRES_ACTION
    await authenticate(other, waiting.psp_reference, passed)
    assert (await looked_up(other_gateway, wanted, waiting)).status is status


async def authenticate(other: LocalStripe, intent_id: str, passed: str) -> None:
    """Do what Stripe's own page does in the buyer's browser."""
    headers = {"Authorization": f"Bearer {localstripe.API_KEY}"}
    url = f"{other.base_url}/v1/payment_intents/{intent_id}"
    async with other.session.get(url, headers=headers) as response:
        secret = (await response.json())["client_secret"]
    await other.post(f"/v1/payment_intents/{intent_id}/_authenticate", client_secret=secret, success=passed)


@needs_localstripe
async def test_localstripe_rejects_a_method_that_it_does_not_know(other_gateway: StripeGateway) -> None:
    with pytest.raises(PspRejected):
        await other_gateway.charge(fresh("pm_of_nobody"))


@needs_localstripe
async def test_localstripe_cancels_what_nobody_confirmed(
    other: LocalStripe, other_gateway: StripeGateway
) -> None:
    card = await other.card("4242424242424242")
    wanted = fresh(card)
    form = {"amount": "2000", "currency": "eur", "payment_method": card, "metadata[payment_id]": wanted.id}
    known = known_as(wanted, (await other.post("/v1/payment_intents", **form))["id"])
    found = await other_gateway.find(known)
    assert found is not None
    assert (found.reason, found.still_payable) == ("never_confirmed", True)
    assert (await other_gateway.cancel(known)).status is Status.VOIDED


@needs_localstripe
async def test_localstripe_has_no_search_and_that_decides_nothing(other_gateway: StripeGateway) -> None:
    with pytest.raises(PspUndecided):
        await other_gateway.find(fresh())
