"""What comes of a charge, for every test payment method; one key is one charge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.application.ports import PspRejected, PspUndecided
from payment_svc.domain.payment import Source, Status
from psp_sim.stripe.tokens import TOKENS, Authorisation
from tests.contract.psp_sim.shop import Shop
from tests.contract.stripe_adapter.payments import IMPATIENT_S, NEVER_ANSWERED, fresh, gateway_to, intents_of
from tests.unit.payment_svc.payments import known_as

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
