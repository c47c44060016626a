"""Refusals, idempotency keys, lists and shapes, as the real `stripe` library sees them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe

from psp_sim.testing import API_KEY
from tests.contract.psp_sim.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLES = json.loads((Path(__file__).parent / "data" / "stripe-sample-objects.json").read_text())["resources"]


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
        await shop.stripe.v1.payment_intents.create_async({"currency": "eur"})
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
    conflicts: list[Any] = [a for a in answers if isinstance(a, stripe.APIError)]
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
        page = await intents.list_async({"customer": "cus_time", "created": created})
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
