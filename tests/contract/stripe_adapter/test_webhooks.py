"""What a webhook says is what the answer and the look-up say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.adapters.stripe.webhooks import read_webhook
from payment_svc.application.ports import Webhook
from payment_svc.domain.payment import Source, Status
from psp_sim.testing import WEBHOOK_SECRET
from tests.contract.psp_sim.shop import Shop
from tests.contract.stripe_adapter.payments import fresh
from tests.unit.payment_svc.payments import known_as

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
