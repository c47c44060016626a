"""What the proof reads of Stripe's lists: each movement of our money with the payment it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.values.ids import new_id
from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.listing import StripeListing
from payment_svc.proof import Money, PspMovement
from psp_sim.testing import API_KEY
from tests.contract.psp_sim.shop import Shop, closed, opened
from tests.unit.payment_svc.payments import payment


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = await opened(tmp_path)
    yield shop
    await closed(shop)


async def _movements(listing: StripeListing, since_s: int = 0) -> list[PspMovement]:
    return [line async for page in listing.movements(since_s) for line in page]


async def test_charges_refunds_and_disputes_are_told_with_their_payments(shop: Shop) -> None:
    listing = StripeListing(api_key=API_KEY, base_url=shop.simulator.base_url)
    gateway = StripeGateway(api_key=API_KEY, base_url=shop.simulator.base_url)
    sold = payment(id=new_id("pay"), order_id=new_id("ord"))
    disputed = payment(id=new_id("pay"), order_id=new_id("ord"), payment_method_id="pm_card_createDispute")
    fact = await gateway.charge(sold)
    await gateway.charge(disputed)
    await gateway.close()
    await shop.stripe.v1.refunds.create_async({"payment_intent": fact.psp_reference})

    movements = await _movements(listing)
    assert {(line.kind, line.payment_id, int(line.amount)) for line in movements} == {
        ("charge", sold.id, sold.amount),
        ("refund", sold.id, -sold.amount),
        ("charge", disputed.id, disputed.amount),
        ("dispute", disputed.id, -disputed.amount),
    }
    assert not any(line.is_payout for line in movements)
    newest_s = max(line.created_s for line in movements)
    assert await _movements(listing, newest_s + 1) == []

    [page] = [page async for page in listing.pages()]
    assert {charge.payment_id for charge in page} == {sold.id, disputed.id}
    one = await listing.payment(fact.psp_reference)
    assert one is not None
    assert (one.payment_id, one.money) == (sold.id, Money.TAKEN)
    assert await listing.payment("pi_nobody") is None
