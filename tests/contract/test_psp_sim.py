"""The simulator as the real `stripe` library sees it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import stripe

from psp_sim.testing import API_KEY, WEBHOOK_SECRET, SimulatorProcess, WebhookInbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLES = json.loads((Path(__file__).parent / "data" / "stripe-sample-objects.json").read_text())["resources"]


class Shop:
    """A merchant's side of the simulator: the Stripe client, the webhooks, the controls."""

    def __init__(self, simulator: SimulatorProcess, inbox: WebhookInbox) -> None:
        self.simulator = simulator
        self.inbox = inbox
        self.session = aiohttp.ClientSession()
        self.stripe = self.client()

    def client(self, *, timeout_s: float = 20.0, retries: int = 0) -> stripe.StripeClient:
        return stripe.StripeClient(
            API_KEY,
            base_addresses={"api": self.simulator.base_url},
            http_client=stripe.AIOHTTPClient(timeout=timeout_s, session=self.session),
            max_network_retries=retries,
        )

    async def pay(
        self, method: str = "pm_card_visa", *, key: str | None = None, **params: Any
    ) -> stripe.PaymentIntent:
        return await self.pay_with(self.stripe, method, key=key, **params)

    async def pay_with(
        self,
        client: stripe.StripeClient,
        method: str = "pm_card_visa",
        *,
        key: str | None = None,
        **params: Any,
    ) -> stripe.PaymentIntent:
        return await client.v1.payment_intents.create_async(
            {
                "amount": 2000,
                "currency": "eur",
                "payment_method": method,
                "confirm": True,
                **params,
            },
            {"idempotency_key": key} if key else {},
        )

    async def control(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        url = f"{self.simulator.base_url}/_sim/{path}"
        async with self.session.request(method, url, json=document) as response:
            return response.status, await response.json()

    async def configure(self, **config: Any) -> None:
        status, document = await self.control("POST", "config", config)
        assert status == 200, document

    async def faults(self) -> dict[str, int]:
        _, stats = await self.control("GET", "stats")
        return stats["faults"]

    async def close(self) -> None:
        await self.session.close()


async def opened(data_dir: Path, **environment: str) -> Shop:
    inbox = WebhookInbox()
    await inbox.start()
    simulator = SimulatorProcess(data_dir, webhook_url=inbox.url, **environment)
    await simulator.start()
    return Shop(simulator, inbox)


async def closed(shop: Shop) -> None:
    await shop.close()
    await shop.simulator.stop()
    await shop.inbox.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    shop = await opened(tmp_path_factory.mktemp("psp_sim"))
    yield shop
    await closed(shop)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(shared_shop: Shop) -> AsyncIterator[Shop]:
    """The simulator of this module, with its behaviour as it was after the test."""
    yield shared_shop
    await shared_shop.control("POST", "reset")


@pytest_asyncio.fixture(loop_scope="module")
async def own_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A simulator for one test alone, which may kill it."""
    shop = await opened(tmp_path)
    yield shop
    await closed(shop)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.02)


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
    error = refused.value.error
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
    intent = await shop.stripe.v1.payment_intents.confirm_async(
        refused.value.error.payment_intent.id, {"payment_method": "pm_card_visa"}
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
    transaction = captured.latest_charge.balance_transaction  # type: ignore[union-attr]
    # 2.9 % of 15.00 is 43.5 cents, rounded up, and 30 more.
    assert (transaction.amount, transaction.fee, transaction.net) == (1500, 74, 1426)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await shop.stripe.v1.payment_intents.capture_async(intent.id)
    assert again.value.code == "payment_intent_unexpected_state"
    types = ["payment_intent.amount_capturable_updated", "payment_intent.succeeded"]
    for event_type in types:
        await shop.inbox.wait_for(lambda d, t=event_type: d.is_about(intent.id, t))


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


# Refusals


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -50}, "amount"),
        ({"amount": "12.50"}, "amount"),
        ({"amount": 10**9}, "amount"),
        ({"currency": "zzz"}, "currency"),
        ({"currency": "kwd", "amount": 1234}, "amount"),
        ({"capture_method": "later"}, "capture_method"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_what_cannot_be_charged_is_refused_by_name(
    shop: Shop, params: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.pay(**params)
    assert (refused.value.http_status, refused.value.param) == (400, param)


async def test_a_missing_amount_is_named(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.stripe.v1.payment_intents.create_async({"currency": "eur"})  # type: ignore[typeddict-item]
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "amount")


async def test_only_test_keys_are_let_in(shop: Shop) -> None:
    url = f"{shop.simulator.base_url}/v1/payment_intents"
    for headers in ({}, {"Authorization": "Bearer sk_live_1"}, {"Authorization": "Basic ???"}):
        async with shop.session.get(url, headers=headers) as response:
            assert response.status == 401
            assert (await response.json())["error"]["type"] == "invalid_request_error"
    basic = aiohttp.encode_basic_auth("sk_test_any", "")
    async with shop.session.get(url, headers={"Authorization": basic}) as response:
        assert response.status == 200


async def test_what_is_not_there_is_404(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await shop.stripe.v1.payment_intents.retrieve_async("pi_none")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    async with shop.session.get(
        f"{shop.simulator.base_url}/v1/moons", headers={"Authorization": f"Bearer {API_KEY}"}
    ) as response:
        assert response.status == 404


# Idempotency


async def test_the_same_key_gives_the_first_answer_again(shop: Shop) -> None:
    first = await shop.pay(key="again", metadata={"cart": "again"})
    second = await shop.pay(key="again", metadata={"cart": "again"})
    assert second.id == first.id
    assert second.last_response.body == first.last_response.body
    headers = second.last_response.headers
    assert headers["idempotent-replayed"] == "true"
    assert headers["idempotency-key"] == "again"
    assert headers["original-request"] == first.last_response.headers["request-id"]
    assert "idempotent-replayed" not in first.last_response.headers


async def test_a_decline_is_remembered_as_well(shop: Shop) -> None:
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            await shop.pay("pm_card_chargeDeclined", key="declined")
        bodies.append(refused.value.http_body)
    assert bodies[0] == bodies[1]


async def test_a_key_with_other_parameters_is_refused(shop: Shop) -> None:
    await shop.pay(key="mismatch")
    with pytest.raises(stripe.IdempotencyError) as refused:
        await shop.pay(key="mismatch", amount=2001)
    assert refused.value.http_status == 400


async def test_a_refusal_before_execution_does_not_use_the_key_up(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await shop.pay(key="fresh", amount=0)
    assert (await shop.pay(key="fresh")).status == "succeeded"


async def test_a_key_in_use_is_a_conflict(shop: Shop) -> None:
    await shop.configure(latency_ms=300)
    answers = await asyncio.gather(
        *(shop.pay(key="at_once", metadata={"cart": "at_once"}) for _ in range(20)),
        return_exceptions=True,
    )
    paid = [answer for answer in answers if isinstance(answer, stripe.PaymentIntent)]
    conflicts = [answer for answer in answers if isinstance(answer, stripe.APIError)]
    assert (len(paid), len(conflicts)) == (1, 19)
    assert {(c.http_status, c.error.code) for c in conflicts} == {(409, "idempotency_key_in_use")}
    found = await shop.stripe.v1.payment_intents.search_async({"query": "metadata['cart']:'at_once'"})
    assert len(found.data) == 1


async def test_a_provider_that_ignores_keys_charges_twice(shop: Shop) -> None:
    await shop.configure(ignore_idempotency_keys=True)
    ids = {(await shop.pay(key="ignored")).id for _ in range(2)}
    assert len(ids) == 2
    assert (await shop.faults())["idempotency_ignored"] >= 2


# Lists, search, balance


async def test_cursors_walk_a_list_in_both_directions(shop: Shop) -> None:
    ids = [(await shop.pay(customer="cus_cursor")).id for _ in range(5)]
    intents = shop.stripe.v1.payment_intents
    pages = await intents.list_async({"customer": "cus_cursor", "limit": 2})
    assert pages.has_more
    assert [intent.id async for intent in pages.auto_paging_iter()] == ids[::-1]
    back = await intents.list_async({"customer": "cus_cursor", "limit": 2, "ending_before": ids[0]})
    assert [intent.id for intent in back.data] == [ids[2], ids[1]]
    assert back.has_more
    with pytest.raises(stripe.InvalidRequestError):
        await intents.list_async({"limit": 101})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await intents.list_async({"starting_after": "pi_none"})
    assert refused.value.param == "starting_after"


async def test_lists_filter_by_time(shop: Shop) -> None:
    intent = await shop.pay(customer="cus_time")
    intents = shop.stripe.v1.payment_intents
    for created, count in (
        ({"gte": intent.created}, 1),
        ({"gt": intent.created}, 0),
        ({"lte": intent.created}, 1),
        ({"lt": intent.created}, 0),
    ):
        page = await intents.list_async({"customer": "cus_time", "created": created})  # type: ignore[typeddict-item]
        assert len(page.data) == count, created


async def test_search_finds_by_metadata_and_status_page_by_page(shop: Shop) -> None:
    for _ in range(3):
        await shop.pay(metadata={"batch": "search"})
    await shop.pay(metadata={"batch": "search"}, capture_method="manual")
    query = "metadata['batch']:'search' AND status:'succeeded'"
    intents = shop.stripe.v1.payment_intents
    first = await intents.search_async({"query": query, "limit": 2})
    assert (len(first.data), first.has_more) == (2, True)
    assert first.next_page
    second = await intents.search_async({"query": query, "limit": 2, "page": first.next_page})
    assert (len(second.data), second.has_more) == (1, False)
    with pytest.raises(stripe.InvalidRequestError):
        await intents.search_async({"query": "amount>100"})


async def test_every_movement_of_money_is_a_balance_transaction(shop: Shop) -> None:
    intent = await shop.pay(amount=10_000)
    await shop.stripe.v1.refunds.create_async({"payment_intent": intent.id, "amount": 4000})
    page = await shop.stripe.v1.balance_transactions.list_async({"limit": 2})
    refund, charge = page.data
    assert (refund.type, refund.amount, refund.fee, refund.net) == ("refund", -4000, 0, -4000)
    assert (charge.type, charge.amount, charge.fee, charge.net) == ("charge", 10_000, 320, 9680)
    assert charge.source == intent.latest_charge


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
    pay = {"key": "before", "metadata": {"cart": "before"}}
    with pytest.raises(stripe.APIConnectionError):
        await shop.pay_with(impatient, "pm_sim_timeout_before", **pay)
    query = "metadata['cart']:'before'"
    found = await shop.stripe.v1.payment_intents.search_async({"query": query})
    assert found.data == []
    assert (await shop.pay("pm_sim_timeout_before", **pay)).status == "succeeded"
    assert (await shop.faults())["timeout_before"] == 1


async def test_timeout_after_has_charged(shop: Shop) -> None:
    impatient = shop.client(timeout_s=0.5)
    pay = {"key": "after", "metadata": {"cart": "after"}}
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
            return (await shop.pay("pm_sim_slow", key="slow")).status == "succeeded"
        except stripe.APIError:
            return False

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


# Shapes


def missing_fields(sample: Any, ours: Any, path: str) -> list[str]:
    """Name every field of Stripe's sample that our object lacks; null is there, but empty."""
    if not (isinstance(sample, dict) and isinstance(ours, dict)):
        return []
    return [f"{path}.{name}" for name in sample if name not in ours] + [
        lack
        for name, value in sample.items()
        # What is in metadata belongs to the caller.
        if name in ours and name != "metadata"
        for lack in missing_fields(value, ours[name], f"{path}.{name}")
    ]


async def test_objects_have_every_field_of_stripes_samples(shop: Shop) -> None:
    intent = await shop.pay(
        "pm_card_createDispute",
        automatic_payment_methods={"enabled": True},
        expand=["latest_charge.balance_transaction", "payment_method"],
    )
    document = json.loads(intent.last_response.body)
    charge = document["latest_charge"]
    refunded = await shop.pay()
    refund = await shop.stripe.v1.refunds.create_async({"payment_intent": refunded.id})
    disputes = await shop.stripe.v1.disputes.list_async({"charge": charge["id"]})
    (webhook,) = await shop.inbox.wait_for(lambda d: d.is_about(intent.id, "payment_intent.succeeded"))
    # What an event is about differs from sample to sample.
    event = {**webhook.document, "data": {"object": {}}}
    event_sample = {**SAMPLES["event"], "data": {"object": {}}}
    lacking = (
        missing_fields(SAMPLES["payment_intent"], document, "payment_intent")
        + missing_fields(SAMPLES["charge"], charge, "charge")
        + missing_fields(SAMPLES["balance_transaction"], charge["balance_transaction"], "balance_transaction")
        + missing_fields(SAMPLES["payment_method"], document["payment_method"], "payment_method")
        + missing_fields(SAMPLES["refund"], json.loads(refund.last_response.body), "refund")
        + missing_fields(SAMPLES["dispute"], json.loads(disputes.last_response.body)["data"][0], "dispute")
        + missing_fields(event_sample, event, "event")
    )
    assert lacking == []


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
        return stats["webhooks"]["pending"] == 0

    await until(all_is_delivered)
    assert await shop.simulator.stop() == 0


async def test_a_second_simulator_on_the_same_state_is_refused(own_shop: Shop, tmp_path: Path) -> None:
    second = SimulatorProcess(tmp_path)
    with pytest.raises(RuntimeError, match="belongs to a running simulator"):
        await second.start()
    assert await second.stop() == 1
