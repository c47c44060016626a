"""The gateway before a Stripe that knows nothing of our simulator: localstripe."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.application.ports import PspRejected, PspUndecided
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.contract.stripe_adapter.payments import fresh, gateway_to
from tests.support import localstripe
from tests.support.localstripe import LocalStripe, running_localstripe
from tests.unit.payment_svc.payments import known_as

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
