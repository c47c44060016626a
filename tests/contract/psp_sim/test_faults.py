"""Webhooks, faults and memory, as the real `stripe` library sees them."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import stripe

from psp_sim.testing import WEBHOOK_SECRET, SimulatorProcess, WebhookInbox
from tests.contract.psp_sim.shop import Shop, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Webhooks


async def test_webhooks_are_signed_as_stripe_signs_them(shop: Shop) -> None:
    intent = await shop.pay(key="signed")
    (webhook,) = await shop.inbox.wait_for(lambda d: d.is_about(intent.id))
    event = stripe.Webhook.construct_event(webhook.body, webhook.signature, WEBHOOK_SECRET)
    assert event.type == "payment_intent.succeeded"
    assert event.request is not None
    assert event.request.idempotency_key == "signed"
    assert event.data.object["latest_charge"] == intent.latest_charge
    listed = await shop.stripe.v1.events.list_async({"type": "payment_intent.succeeded"})
    assert event.id in {other.id for other in listed.data}
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(webhook.body, webhook.signature, "whsec_other")


async def test_a_refused_webhook_comes_again(shop: Shop) -> None:
    refusals = iter((500, 0))
    shop.inbox.answer = lambda delivery: next(refusals, 200) or 503
    try:
        intent = await shop.pay()
        deliveries = await shop.inbox.wait_for(lambda d: d.is_about(intent.id), count=3)
    finally:
        shop.inbox.answer = lambda delivery: 200
    assert len({delivery.document["id"] for delivery in deliveries}) == 1


async def test_duplicate_and_forged_webhooks_on_demand(shop: Shop) -> None:
    await shop.configure(webhook={"duplicate_rate": 1.0, "forge": True})
    intent = await shop.pay()
    deliveries = await shop.inbox.wait_for(lambda d: d.is_about(intent.id), count=3)
    genuine = []
    for delivery in deliveries:
        try:
            stripe.Webhook.construct_event(delivery.body, delivery.signature, WEBHOOK_SECRET)
        except stripe.SignatureVerificationError:
            assert delivery.document["id"].endswith("_forged")
        else:
            genuine.append(delivery.document["id"])
    assert len(genuine) == 2
    assert len(set(genuine)) == 1


async def test_dropped_webhooks_never_come(shop: Shop) -> None:
    await shop.configure(webhook={"drop_rate": 1.0})
    intent = await shop.pay()
    await shop.configure(webhook={"drop_rate": 0.0})
    later = await shop.pay()
    await shop.inbox.wait_for(lambda d: d.is_about(later.id))
    assert not [d for d in shop.inbox.deliveries if d.is_about(intent.id)]


# Faults by payment method


async def test_timeout_before_charges_only_the_retry(shop: Shop) -> None:
    impatient = shop.client(timeout_s=0.5)
    pay: dict[str, Any] = {"key": "before", "metadata": {"cart": "before"}}
    with pytest.raises(stripe.APIConnectionError):
        await shop.pay_with(impatient, "pm_sim_timeout_before", **pay)
    query = "metadata['cart']:'before'"
    found = await shop.stripe.v1.payment_intents.search_async({"query": query})
    assert found.data == []
    assert (await shop.pay("pm_sim_timeout_before", **pay)).status == "succeeded"
    assert (await shop.faults())["timeout_before"] == 1


async def test_timeout_after_has_charged(shop: Shop) -> None:
    impatient = shop.client(timeout_s=0.5)
    pay: dict[str, Any] = {"key": "after", "metadata": {"cart": "after"}}
    with pytest.raises(stripe.APIConnectionError):
        await shop.pay_with(impatient, "pm_sim_timeout_after", **pay)
    query = "metadata['cart']:'after' AND status:'succeeded'"
    found = await shop.stripe.v1.payment_intents.search_async({"query": query})
    (charged,) = found.data
    replayed = await shop.pay("pm_sim_timeout_after", **pay)
    assert replayed.id == charged.id
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    await shop.inbox.wait_for(lambda d: d.is_about(charged.id))


async def test_error_then_ok_fails_once_for_each_key(shop: Shop) -> None:
    with pytest.raises(stripe.APIError) as refused:
        await shop.pay("pm_sim_error_then_ok", key="error_once")
    assert refused.value.http_status == 500
    intent = await shop.pay("pm_sim_error_then_ok", key="error_once")
    assert intent.status == "succeeded"
    retrying = shop.client(retries=2)
    intent = await shop.pay_with(retrying, "pm_sim_error_then_ok", key="error_twice")
    assert intent.status == "succeeded"


async def test_slow_charges_after_ten_seconds(shop: Shop) -> None:
    impatient = shop.client(timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(stripe.APIConnectionError):
        await shop.pay_with(impatient, "pm_sim_slow", key="slow")
    with pytest.raises(stripe.APIError) as running:
        await shop.pay("pm_sim_slow", key="slow")
    assert running.value.http_status == 409

    async def is_paid() -> bool:
        try:
            intent = await shop.pay("pm_sim_slow", key="slow")
        except stripe.APIError:
            return False
        return str(intent.status) == "succeeded"

    await until(is_paid)
    assert time.monotonic() - began > 9.5


async def test_webhook_faults_by_payment_method(shop: Shop) -> None:
    twice = await shop.pay("pm_sim_webhook_duplicate")
    deliveries = await shop.inbox.wait_for(lambda d: d.is_about(twice.id), count=2)
    assert len({delivery.document["id"] for delivery in deliveries}) == 1

    first = await shop.pay("pm_sim_webhook_first")
    assert [d for d in shop.inbox.deliveries if d.is_about(first.id)]

    reordered = await shop.pay("pm_sim_webhook_reordered")
    deliveries = await shop.inbox.wait_for(lambda d: d.is_about(reordered.id), count=2)
    assert [delivery.document["type"] for delivery in deliveries] == [
        "payment_intent.succeeded",
        "payment_intent.processing",
    ]

    never = await shop.pay("pm_sim_webhook_never")
    await asyncio.gather(*(shop.pay() for _ in range(3)))
    _, stats = await shop.control("GET", "stats")
    assert not [d for d in shop.inbox.deliveries if d.is_about(never.id)]
    counted = {"webhook_duplicate", "webhook_reordered", "webhook_first", "webhook_never"}
    assert counted <= stats["faults"].keys()


# Faults by configuration


async def test_an_outage_and_its_end(shop: Shop) -> None:
    await shop.configure(outage=True)
    with pytest.raises(stripe.APIError) as refused:
        await shop.pay()
    assert refused.value.http_status == 503
    await shop.control("POST", "reset")
    assert (await shop.pay()).status == "succeeded"


async def test_rates_strike(shop: Shop) -> None:
    await shop.configure(rate_limit_rate=1.0)
    with pytest.raises(stripe.RateLimitError):
        await shop.pay()
    await shop.configure(rate_limit_rate=0.0, error_rate=1.0)
    with pytest.raises(stripe.APIError):
        await shop.pay()
    await shop.configure(error_rate=0.0, drop_response_rate=1.0)
    with pytest.raises(stripe.APIConnectionError):
        await shop.pay(key="dropped", metadata={"cart": "dropped"})
    await shop.control("POST", "reset")
    replayed = await shop.pay(key="dropped", metadata={"cart": "dropped"})
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    faults = await shop.faults()
    assert {"rate_limit", "error", "drop_response"} <= faults.keys()


async def test_the_configuration_is_checked_and_shown(shop: Shop) -> None:
    status, refused = await shop.control("POST", "config", {"lattency_ms": 5})
    assert status == 400
    assert refused["error"]["param"] == "lattency_ms"
    assert "latency_ms" in refused["error"]["message"]
    for wrong in ({"error_rate": 1.5}, {"latency_ms": -1}, {"webhook": {"forgery": True}}, [1]):
        status, _ = await shop.control("POST", "config", wrong)
        assert status == 400
    await shop.configure(latency_ms=5, webhook={"delay_ms": 7})
    await shop.configure(webhook={"forge": True})
    _, config = await shop.control("GET", "config")
    assert (config["latency_ms"], config["webhook"]["delay_ms"]) == (5, 7)
    assert config["webhook"]["forge"]
    _, config = await shop.control("POST", "reset")
    assert (config["latency_ms"], config["webhook"]["forge"]) == (0, False)


# Memory


async def was_delivered_since(inbox: WebhookInbox, count: int, object_id: str) -> bool:
    return any(delivery.is_about(object_id) for delivery in inbox.deliveries[count:])


async def test_a_killed_simulator_forgets_nothing(own_shop: Shop) -> None:
    shop = own_shop
    shop.inbox.answer = lambda delivery: 503
    paid = await shop.pay(key="kept", metadata={"cart": "kept", "name": "Zoë"})
    held = await shop.pay(capture_method="manual")
    with pytest.raises(stripe.APIError):
        await shop.pay("pm_sim_error_then_ok", key="tripped")
    pending = await shop.pay("pm_card_pendingRefund")
    refund = await shop.stripe.v1.refunds.create_async({"payment_intent": pending.id})
    await shop.inbox.wait_for(lambda d: d.is_about(paid.id))
    await shop.simulator.kill()
    before = len(shop.inbox.deliveries)
    shop.inbox.answer = lambda delivery: 200
    await shop.simulator.start()

    replayed = await shop.pay(key="kept", metadata={"cart": "kept", "name": "Zoë"})
    assert replayed.last_response.body == paid.last_response.body
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    captured = await shop.stripe.v1.payment_intents.capture_async(held.id)
    assert captured.status == "succeeded"
    assert (await shop.pay("pm_sim_error_then_ok", key="tripped")).status == "succeeded"
    await until(lambda: was_delivered_since(shop.inbox, before, paid.id))
    await shop.inbox.wait_for(lambda d: d.is_about(refund.id, "charge.refund.updated"))

    async def all_is_delivered() -> bool:
        _, stats = await shop.control("GET", "stats")
        return int(stats["webhooks"]["pending"]) == 0

    await until(all_is_delivered)
    assert await shop.simulator.stop() == 0


async def test_a_second_simulator_on_the_same_state_is_refused(own_shop: Shop, tmp_path: Path) -> None:
    second = SimulatorProcess(tmp_path)
    with pytest.raises(RuntimeError, match="belongs to a running simulator"):
        await second.start()
    assert await second.stop() == 1
