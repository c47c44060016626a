"""Who may do what at the edge, and what is refused before anything happens."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from runner.access import tokens
from tests.support.shop import Shop

pytestmark = pytest.mark.xdist_group("system")

# The test number of every card scheme's handbook.
CARD_NUMBER = "4242 4242 4242 4242"


async def test_without_a_token_there_is_nothing(shop: Shop) -> None:
    for method, path in (("POST", "/v1/checkouts"), ("GET", "/v1/orders"), ("PUT", "/v1/products/mug")):
        answer = await shop.call(method, path, body={}, key="k")
        assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED")


async def test_a_token_that_is_changed_or_expired_is_none(shop: Shop) -> None:
    token = shop.token("buyer", shop.buyer("ada"))
    expired = tokens.mint(shop.system.settings, role="buyer", subject=shop.buyer("ada"), ttl_s=-3600)
    for bad in (token[:-8] + "AAAAAAAA", expired, "nonsense"):
        assert (await shop.call("GET", "/v1/orders", token=bad)).status == 401


async def test_who_a_caller_is_comes_from_the_token_and_not_from_headers(shop: Shop) -> None:
    claimed = {"x-florin-subject": "usr_root", "x-florin-role": "ops"}
    assert (await shop.call("GET", "/v1/orders", headers=claimed)).status == 401
    await shop.put_product("mug", stock=1)
    answer = await shop.checkout(shop.cart("mug"), buyer="eve", key="k", headers=claimed)
    assert answer.body["customer_id"] == shop.buyer("eve")


async def test_each_role_does_its_own_work_only(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    merchant, buyer = shop.token("merchant", "usr_owner"), shop.token("buyer", shop.buyer("ada"))
    product = {"name": "Mug", "unit_amount": 1, "currency": "EUR"}
    for answer in (
        await shop.call("POST", "/v1/checkouts", token=merchant, body=shop.cart("mug"), key="k"),
        await shop.call("PUT", "/v1/products/mug", token=buyer, body=product, key="k"),
        await shop.call("PUT", "/v1/products/mug", token=shop.token("ops", "usr_ops"), body=product, key="k"),
    ):
        assert (answer.status, answer.reason) == (403, "ROLE_NOT_ALLOWED")


async def test_an_order_is_seen_by_its_buyer_its_merchant_and_ops(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    order = await shop.waits_until_ended(await shop.buys("mug"))
    path = f"/v1/orders/{order.id}"
    for seer in (
        shop.token("buyer", shop.buyer("ada")),
        shop.token("merchant", "usr_owner"),
        shop.token("ops", "usr_ops"),
    ):
        assert (await shop.call("GET", path, token=seer)).body["id"] == order.id


async def test_an_order_of_others_looks_like_one_that_does_not_exist(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    order = await shop.waits_until_ended(await shop.buys("mug"))
    eve, rival = shop.token("buyer", shop.buyer("eve")), shop.token("merchant", "usr_rival", "mer_rival")
    for stranger in (eve, rival):
        for suffix in ("", "/timeline", ":watch"):
            real = await shop.call("GET", f"/v1/orders/{order.id}{suffix}", token=stranger)
            invented = await shop.call("GET", f"/v1/orders/ord_none{suffix}", token=stranger)
            assert (real.status, real.reason) == (404, "ORDER_NOT_FOUND")
            assert (invented.status, invented.reason) == (404, "ORDER_NOT_FOUND")
            assert real.body["message"].replace(order.id, "ord_none") == invented.body["message"]
        payment = await shop.call("GET", f"/v1/payments/{order.body['payment_id']}", token=stranger)
        assert (payment.status, payment.reason) == (404, "PAYMENT_NOT_FOUND")
        assert (await shop.call("GET", "/v1/orders", token=stranger)).body["orders"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"expected_total_amount": 1989}, "PRICE_CHANGED", id="another price"),
        pytest.param({"items": [{"sku": "unheard-of", "quantity": 1}]}, "UNKNOWN_PRODUCT", id="unknown sku"),
        pytest.param({"currency": "USD"}, "CURRENCY_MISMATCH", id="another currency"),
        pytest.param({"currency": "euro"}, "FIELD_INVALID", id="no currency"),
        pytest.param({"items": [{"sku": "mug", "quantity": 0}]}, "FIELD_INVALID", id="nothing"),
        pytest.param({"items": [{"sku": "mug", "quantity": -1}]}, "FIELD_INVALID", id="less than nothing"),
        pytest.param({"items": []}, "FIELD_INVALID", id="an empty cart"),
        pytest.param({"items": [{"sku": "mug", "quantity": 1}] * 2}, "FIELD_INVALID", id="a line twice"),
        pytest.param({"merchant_id": "somebody"}, "FIELD_INVALID", id="no merchant"),
        pytest.param({"payment_method_id": CARD_NUMBER}, "FIELD_INVALID", id="a card as payment method"),
        pytest.param({"attribution": {"note": CARD_NUMBER}}, "CARD_NUMBER_REFUSED", id="a card in a note"),
        pytest.param(
            {"shipping_address": {"line2": f"c/o {CARD_NUMBER}"}},
            "CARD_NUMBER_REFUSED",
            id="a card in an address",
        ),
        pytest.param({"capture_method": "MANUAL"}, "CAPTURE_METHOD_UNSUPPORTED", id="capture later"),
        pytest.param({"items": "mug"}, "REQUEST_MALFORMED", id="another type"),
    ],
)
async def test_a_checkout_that_cannot_be_meant_is_refused(
    shop: Shop, change: dict[str, Any], reason: str
) -> None:
    await shop.put_product("mug", stock=1)
    answer = await shop.checkout(shop.cart("mug") | change, key=uuid.uuid4().hex)
    assert (answer.status, answer.reason) == (400, reason)
    assert "4242" not in str(answer.body), "a card number is not repeated to anybody"
    assert await shop.orders() == []


async def test_a_key_that_looks_like_a_card_number_is_refused(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    answer = await shop.checkout(shop.cart("mug"), key=CARD_NUMBER.replace(" ", ""))
    assert (answer.status, answer.reason) == (400, "CARD_NUMBER_REFUSED")


async def test_an_unknown_query_parameter_is_refused(shop: Shop) -> None:
    token = shop.token("buyer", shop.buyer("ada"))
    answer = await shop.call("GET", "/v1/orders", token=token, params={"statsu": "FAILED"})
    assert (answer.status, answer.reason) == (400, "REQUEST_MALFORMED")


async def test_pages_hold_every_order_once_newest_first(shop: Shop) -> None:
    await shop.put_product("mug", stock=10)
    placed = [(await shop.buys("mug")).id for _ in range(5)]
    seen: list[str] = []
    params = {"page_size": "2"}
    while True:
        page = await shop.as_merchant("GET", "/v1/orders", params=params)
        assert len(page.body["orders"]) <= 2
        seen += [order["id"] for order in page.body["orders"]]
        if not page.body["next_page_token"]:
            break
        params["page_token"] = page.body["next_page_token"]
    assert seen == placed[::-1]
    await shop.waits_until_all_ended(placed)


async def test_a_page_token_is_good_for_its_own_list_only(shop: Shop) -> None:
    await shop.put_product("mug", stock=10)
    placed = [(await shop.buys("mug")).id for _ in range(2)]
    await shop.waits_until_all_ended(placed)
    page = await shop.as_merchant("GET", "/v1/orders", params={"page_size": "1"})
    token = page.body["next_page_token"]
    assert token
    for params in (
        {"page_token": token, "status": "FAILED"},
        {"page_token": token[:-2] + ("AA" if token[-2:] != "AA" else "BB")},
    ):
        answer = await shop.as_merchant("GET", "/v1/orders", params=params)
        assert answer.status == 400, answer
    rival = shop.token("merchant", "usr_rival", "mer_rival")
    answer = await shop.call("GET", "/v1/orders", token=rival, params={"page_token": token})
    assert answer.status == 400, answer


async def test_every_answer_says_how_to_find_it_in_the_logs(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    given = {"x-correlation-id": "shop-4711"}
    accepted = await shop.checkout(shop.cart("mug"), key="k", headers=given)
    refused = await shop.checkout(shop.cart("mug"), headers=given)
    turned_away = await shop.call("GET", "/v1/orders", headers=given)
    assert [answer.status for answer in (accepted, refused, turned_away)] == [202, 400, 401]
    for answer in (accepted, refused, turned_away):
        assert answer.headers["x-correlation-id"] == "shop-4711"
        assert answer.headers["x-request-id"]
    assert accepted.body["correlation_id"] == "shop-4711"
