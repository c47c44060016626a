"""What is to be closed at the PSP, and errors that it keeps under a key."""

from __future__ import annotations

from dataclasses import replace

import pytest
import stripe

from kit.values.clock import system_clock
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.application.ports import PspKeySpent, PspUndecided
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, Source, Status
from tests.contract.psp_sim.shop import Shop
from tests.contract.stripe_adapter.payments import RETURN_URL, fresh, intents_of
from tests.unit.payment_svc.payments import known_as

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
