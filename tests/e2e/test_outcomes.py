"""What becomes of one checkout, whatever card it is paid with and whatever the PSP does meanwhile."""

from __future__ import annotations

import json
import time
import uuid

import psycopg
import pytest

from psp_sim.stripe.signature import signature
from tests.support.shop import Answer, Order, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("system")

# How a paid order came about, as its timeline tells; two branches run side by side after the capture.
HAPPY_STEPS = {
    "order.placed",
    "stock.reserved",
    "payment.captured",
    "stock.sold",
    "journal.posted",
    "order.completed",
}


async def has_one_mail(shop: Shop, order: Order, saying: str) -> None:
    await eventually(lambda: bool(shop.mails_about(order)), f"an e-mail about {order.id}")
    (mail,) = shop.mails_about(order)
    assert saying in mail


async def is_paid_once(shop: Shop, order: Order) -> None:
    """Completed: one charge of the whole amount, one journal, one of each step."""
    ended = await shop.waits_until_ended(order)
    assert (ended.status, ended.reason) == ("COMPLETED", "")
    (charge,) = await shop.psp.charges_of(order.id)
    assert charge["amount_received"] == order.total_amount
    assert await shop.journals_of(order) == ["payment.captured"]
    steps = await shop.timeline_of(order)
    assert len(steps) == len(set(steps)), "each step happened once"
    assert set(steps) >= HAPPY_STEPS


async def test_a_paid_checkout_is_sold_charged_accounted_and_announced_once(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", quantity=2)
    assert order.status == "PROCESSING"
    assert order.total_amount == 2 * 1990
    await is_paid_once(shop, order)
    assert await shop.stock_of("mug") == {"available": 3, "reserved": 0, "sold": 2}
    await has_one_mail(shop, order, "receipt")


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("pm_card_chargeDeclined", "card_declined"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
        ("pm_card_radarBlock", "blocked"),
        ("pm_of_nobody", "rejected_by_psp"),
        ("token_of_another_psp", "rejected_by_psp"),
    ],
)
async def test_a_declined_card_fails_the_order_and_frees_its_stock(
    shop: Shop, card: str, reason: str
) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.waits_until_ended(await shop.buys("mug", card=card))
    assert (order.status, order.reason) == ("FAILED", reason)
    assert await shop.psp.charges_of(order.id) == []
    assert await shop.journals_of(order) == []
    await has_one_mail(shop, order, "not")

    async def is_free() -> bool:
        return await shop.stock_of("mug") == {"available": 5, "reserved": 0, "sold": 0}

    await eventually(is_free, "the stock is free again")


async def test_an_order_without_stock_fails_and_the_psp_never_hears_of_it(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    order = await shop.waits_until_ended(await shop.buys("mug", quantity=2))
    assert (order.status, order.reason) == ("FAILED", "out_of_stock")
    assert await shop.psp.intents_of(order.id) == []
    assert await shop.stock_of("mug") == {"available": 1, "reserved": 0, "sold": 0}


async def test_3d_secure_waits_for_the_buyer_and_completes_by_its_webhook(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", card="pm_card_authenticationRequired")
    waiting = await shop.waits_until(order, "REQUIRES_ACTION")
    assert await shop.psp.charges_of(order.id) == []
    assert await shop.stock_of("mug") == {"available": 4, "reserved": 1, "sold": 0}
    await shop.psp.answer_challenge(waiting, passed=True)
    await is_paid_once(shop, order)


async def test_a_failed_3d_secure_fails_the_order_and_frees_its_stock(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", card="pm_card_authenticationRequired")
    waiting = await shop.waits_until(order, "REQUIRES_ACTION")
    await shop.psp.answer_challenge(waiting, passed=False)
    ended = await shop.waits_until_ended(order)
    assert (ended.status, ended.reason) == ("FAILED", "authentication_failed")
    assert await shop.psp.charges_of(order.id) == []

    async def is_free() -> bool:
        return await shop.stock_of("mug") == {"available": 5, "reserved": 0, "sold": 0}

    await eventually(is_free, "the stock is free again")


async def test_a_person_decides_only_with_a_word_of_their_own_what_the_psp_may_still_decide(
    shop: Shop,
) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", card="pm_card_authenticationRequired")
    waiting = await shop.waits_until(order, "REQUIRES_ACTION")
    path = f"/v1/payments/{waiting.body['payment_id']}:decide"
    decision = {"outcome": "FAILED", "reason": "the buyer called"}
    buyer, ops = shop.token("buyer", shop.buyer("ada")), shop.token("ops", "usr_ops")

    forbidden = await shop.call("POST", path, token=buyer, body=decision, key="k1")
    assert forbidden.status == 403
    refused = await shop.call("POST", path, token=ops, body=decision, key="k1")
    assert (refused.status, refused.reason) == (409, "PSP_SAYS_OTHERWISE")
    decided, again = [
        await shop.call("POST", path, token=ops, body=decision | {"against_psp": True}, key="k2")
        for _ in range(2)
    ]
    assert (decided.status, decided.body["status"]) == (200, "FAILED")
    assert (again.body, again.headers["idempotent-replayed"]) == (decided.body, "true")
    ended = await shop.waits_until_ended(order)
    assert (ended.status, ended.reason) == ("FAILED", "decided_by_operator")


async def test_a_charge_without_answer_and_webhook_is_found_by_asking(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    async with shop.psp.behaving(webhook={"drop_rate": 1.0}):
        order = await shop.buys("mug", card="pm_sim_timeout_after")
        await is_paid_once(shop, order)


@pytest.mark.parametrize(
    "card",
    [
        pytest.param("pm_sim_timeout_after", id="charged-and-not-answered"),
        pytest.param("pm_sim_timeout_before", id="neither-charged-nor-answered"),
        pytest.param("pm_sim_error_then_ok", id="error-500-first"),
        pytest.param("pm_sim_slow", id="slower-than-our-patience"),
        pytest.param("pm_sim_webhook_first", id="webhook-before-the-answer"),
        pytest.param("pm_sim_webhook_never", id="no-webhook"),
        pytest.param("pm_sim_webhook_duplicate", id="every-webhook-twice"),
        pytest.param("pm_sim_webhook_reordered", id="older-webhook-last"),
    ],
)
async def test_a_troubled_payment_completes_and_is_charged_once(shop: Shop, card: str) -> None:
    await shop.put_product("mug", stock=5)
    await is_paid_once(shop, await shop.buys("mug", card=card))


async def send_webhook(shop: Shop, body: bytes, signed: str) -> Answer:
    headers = {"Stripe-Signature": signed, "Content-Type": "application/json"}
    return await shop.call("POST", "/v1/webhooks/stripe", body=body, headers=headers)


async def stored_webhooks(shop: Shop, event_id: str) -> int:
    async with await psycopg.AsyncConnection.connect(shop.system.auditor_url("payment_svc")) as payments:
        cursor = await payments.execute("SELECT count(*) FROM webhooks WHERE event_id = %s", (event_id,))
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_a_forged_or_stale_webhook_is_refused_and_nothing_of_it_is_stored(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", card="pm_card_authenticationRequired")
    waiting = await shop.waits_until(order, "REQUIRES_ACTION")
    (intent,) = await shop.psp.intents_of(order.id)
    paid = intent | {"status": "succeeded", "amount_received": intent["amount"]}
    event_id = f"evt_{uuid.uuid4().hex}"
    event = {"id": event_id, "type": "payment_intent.succeeded", "data": {"object": paid}}
    body = json.dumps(event).encode()
    secret = shop.system.secrets.psp_webhook_secret.encode()
    now = int(time.time())

    for signed in ("", signature(b"whsec_guessed", body, now), signature(secret, body, now - 3600)):
        answer = await send_webhook(shop, body, signed)
        assert (answer.status, answer.reason) == (400, "WEBHOOK_SIGNATURE_INVALID")
    changed = body.replace(event_id.encode(), event_id[::-1].encode())
    assert (await send_webhook(shop, changed, signature(secret, body, now))).status == 400

    assert await stored_webhooks(shop, event_id) == 0
    assert (await shop.get(order)).status == "REQUIRES_ACTION"
    await shop.psp.answer_challenge(waiting, passed=True)
    await is_paid_once(shop, order)


async def test_a_webhook_sent_again_by_hand_is_stored_and_applied_once(shop: Shop) -> None:
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "type": "payment_intent.succeeded",
        "data": {"object": {"id": "pi_1", "status": "succeeded", "metadata": {"payment_id": "pay_none"}}},
    }
    body = json.dumps(event).encode()
    signed = signature(shop.system.secrets.psp_webhook_secret.encode(), body, int(time.time()))
    first, second = await send_webhook(shop, body, signed), await send_webhook(shop, body, signed)
    assert [(a.status, a.body["duplicate"]) for a in (first, second)] == [(200, False), (200, True)]
    assert await stored_webhooks(shop, str(event["id"])) == 1
