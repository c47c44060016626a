"""The edge keeps the contract towards REST callers: real Envoy, real client, fake services."""

from __future__ import annotations

import json
import re

import grpc
import pytest
from florin.order.v1 import order_pb2, order_service_pb2
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

from tests.support.edge import (
    CART,
    MAX_REQUEST_BYTES,
    REQUEST_TIMEOUT_S,
    Buyer,
    Metadata,
    Refusal,
    Shop,
    Tokens,
    error_info,
    reason_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What a caller sends and what a service sees.


async def test_a_checkout_is_answered_202_with_the_order(buyer: Buyer, shop: Shop) -> None:
    """`x-http-status` becomes the status; the body is the resource, zeros and blanks included."""
    status, headers, order = await buyer.call(
        "POST", "/v1/checkouts", json=CART, headers={"idempotency-key": "key-1"}
    )
    assert status == 202
    assert "x-http-status" not in headers
    assert headers["idempotent-replayed"] == "true"
    assert not [name for name in headers if name.startswith(("grpc-", "x-envoy-"))]
    assert order["status"] == "PROCESSING"
    assert order["total_amount"] == "1999"
    assert order["tax_amount"] == "0"
    assert order["reason"] == ""
    assert order["lines"] == []
    assert isinstance(shop.last_request, order_service_pb2.CreateCheckoutRequest)
    assert MessageToDict(shop.last_request, preserving_proto_field_name=True) == CART
    assert shop.last_metadata["idempotency-key"] == "key-1"


async def test_a_checkout_says_how_long_it_is_waited_for_whatever_its_caller_says(
    buyer: Buyer, shop: Shop
) -> None:
    """By what is left of that time a service knows how long it has waited, so it has to be the edge's."""
    forged = {"x-florin-timeout-ms": "1", "grpc-timeout": "1m"}
    status, _, _ = await buyer.call("POST", "/v1/checkouts", json=CART, headers=forged)
    assert status == 202
    assert shop.last_metadata["x-florin-timeout-ms"] == f"{(REQUEST_TIMEOUT_S + 0.25) * 1000:.0f}"


async def test_a_service_learns_who_calls_from_the_token_alone(
    buyer: Buyer, shop: Shop, tokens: Tokens
) -> None:
    """A caller's copies of what only the edge may say are thrown away; so is the token."""
    forged = {
        "x-florin-role": "ops",
        "x-florin-subject": "someone_else",
        "x-florin-merchant": "mer_other",
        "x-florin-anything": "1",
        "x-http-status": "500",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "cookie": "session=1",
    }
    status, _, _ = await buyer.call("GET", "/v1/orders/ord_1", headers=forged)
    assert status == 200
    seen = shop.last_metadata
    assert (seen["x-florin-subject"], seen["x-florin-role"]) == ("buyer_1", "buyer")
    assert not {
        "x-florin-merchant",
        "x-florin-anything",
        "x-http-status",
        "authorization",
        "cookie",
    } & set(seen)
    assert "x-envoy-upstream-rq-timeout-ms" not in seen

    merchant = tokens.bearer(sub="user_7", role="merchant", merchant_id="mer_demo")
    await buyer.call("GET", "/v1/payments/pay_1", headers=merchant)
    assert shop.last_metadata["x-florin-merchant"] == "mer_demo"


async def test_forged_identity_is_stripped_where_no_token_is_needed(buyer: Buyer, shop: Shop) -> None:
    await buyer.call("POST", "/v1/webhooks/stripe", token=False, data=b"{}", headers={"x-florin-role": "ops"})
    assert not [name for name in shop.last_metadata if name.startswith("x-florin-")]


async def test_a_callers_correlation_id_goes_all_the_way_and_back(buyer: Buyer, shop: Shop) -> None:
    _, headers, _ = await buyer.call("GET", "/v1/orders/x", headers={"x-correlation-id": "cart-7.a_B"})
    assert headers["x-correlation-id"] == shop.last_metadata["x-correlation-id"] == "cart-7.a_B"
    assert headers["x-request-id"] == shop.last_metadata["x-request-id"]


@pytest.mark.parametrize("sent", [None, "two words", "x" * 65, "häß", ""])
async def test_without_a_harmless_correlation_id_one_is_made(
    buyer: Buyer, shop: Shop, sent: str | None
) -> None:
    headers = {} if sent is None else {"x-correlation-id": sent}
    _, answered, _ = await buyer.call("GET", "/v1/orders/x", headers=headers)
    assert answered["x-correlation-id"] == answered["x-request-id"] == shop.last_metadata["x-correlation-id"]
    assert len(answered["x-request-id"]) == 36


async def test_a_trace_goes_on_or_begins_at_the_edge(buyer: Buyer, shop: Shop) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await buyer.call("GET", "/v1/orders/x", headers={"traceparent": parent})
    assert str(shop.last_metadata["traceparent"]).startswith("00-0af7651916cd43dd8448eb211c80319c-")
    await buyer.call("GET", "/v1/orders/x")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", str(shop.last_metadata["traceparent"]))


async def test_a_webhook_arrives_byte_by_byte_with_its_signature(buyer: Buyer, shop: Shop) -> None:
    """A signature is over exact bytes: nothing may be parsed, trimmed or re-encoded."""
    raw = b' {"id": "evt_1",\r\n "amount": 1.0}\x00\xff\n'
    status, _, answer = await buyer.call(
        "POST",
        "/v1/webhooks/stripe",
        token=False,
        data=raw,
        headers={
            "stripe-signature": "t=1,v1=abc",
            "content-type": "application/json; charset=utf-8",
        },
    )
    assert (status, answer) == (200, {"duplicate": False})
    assert isinstance(shop.last_request, httpbody_pb2.HttpBody)
    assert shop.last_request.data == raw
    assert shop.last_metadata["stripe-signature"] == "t=1,v1=abc"


# Refusals of the services.


@pytest.mark.parametrize("after_headers", [False, True])
@pytest.mark.parametrize(
    ("code", "chosen", "answered"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, 402, 402),
        (grpc.StatusCode.ALREADY_EXISTS, 422, 422),
        (grpc.StatusCode.INVALID_ARGUMENT, 400, 400),
        (grpc.StatusCode.NOT_FOUND, None, 404),
        (grpc.StatusCode.PERMISSION_DENIED, None, 403),
        (grpc.StatusCode.ABORTED, None, 409),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, 429),
        (grpc.StatusCode.UNAVAILABLE, None, 503),
    ],
)
async def test_a_refusal_has_its_status_and_every_detail(
    buyer: Buyer,
    shop: Shop,
    code: grpc.StatusCode,
    chosen: int | None,
    answered: int,
    after_headers: bool,
) -> None:
    """The same whether the service had already sent headers or not."""
    field = error_details_pb2.BadRequest.FieldViolation(field="currency", description="not sold in JPY")
    details = (
        error_info("CARD_DECLINED", decline_code="lost_card"),
        error_details_pb2.BadRequest(field_violations=[field]),
        error_details_pb2.RetryInfo(),
    )
    metadata: Metadata = (("retry-after", "7"),)
    if chosen:
        metadata += (("x-http-status", str(chosen)),)
    refusal = Refusal(code, "declined: try another card", details, metadata, after_headers)
    with shop.refusing(refusal):
        status, headers, error = await buyer.call("POST", "/v1/checkouts", json=CART)
    assert status == answered
    assert headers["retry-after"] == "7"
    assert headers["x-correlation-id"] == shop.last_metadata["x-correlation-id"]
    assert not [name for name in headers if name.startswith("grpc-") or name == "x-http-status"]
    assert (error["code"], error["message"]) == (code.value[0], "declined: try another card")
    assert reason_of(error) == "CARD_DECLINED"
    assert error["details"][0]["metadata"] == {"decline_code": "lost_card"}
    assert error["details"][1]["field_violations"][0]["field"] == "currency"


# Refusals of the edge itself.


async def test_without_a_token_the_answer_is_401_and_no_service_is_asked(buyer: Buyer, shop: Shop) -> None:
    before = len(shop.calls)
    status, headers, error = await buyer.call("POST", "/v1/checkouts", json=CART, token=False)
    assert (status, error["code"], reason_of(error)) == (401, 16, "UNAUTHENTICATED")
    assert headers["x-correlation-id"] == headers["x-request-id"]
    assert len(shop.calls) == before


@pytest.mark.parametrize("claims", [{"aud": "elsewhere"}, {"iss": "stranger"}, {"exp": 1_000_000_000}])
async def test_a_token_that_is_not_for_us_is_no_token(
    buyer: Buyer, tokens: Tokens, claims: dict[str, object]
) -> None:
    status, _, error = await buyer.call("GET", "/v1/orders/x", headers=tokens.bearer(**claims))
    assert (status, reason_of(error)) == (401, "UNAUTHENTICATED")


async def test_a_token_signed_by_someone_else_is_refused(buyer: Buyer) -> None:
    status, _, error = await buyer.call("GET", "/v1/orders/x", headers=Tokens().bearer())
    assert (status, reason_of(error)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/nothing"),
        ("DELETE", "/v1/checkouts"),
        ("GET", "/v1/orders/x:unheard_of"),
        ("POST", "/florin.order.v1.OrderService/GetOrder"),
        ("GET", "/v1/orders/x/../../../admin"),
    ],
)
async def test_what_no_route_names_is_404(buyer: Buyer, method: str, path: str) -> None:
    """An RPC's own path is for gRPC only: JSON posted there is not transcoded."""
    status, _, error = await buyer.call(method, path)
    assert (status, error["code"], reason_of(error)) == (404, 5, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize(
    "body", ["{nope", "hello", "[1]", '{"items": [{"quantity": "many"}]}', '{"items": 5}']
)
async def test_a_body_that_is_not_the_requests_json_is_400(buyer: Buyer, body: str) -> None:
    status, _, error = await buyer.call("POST", "/v1/checkouts", data=body)
    assert (status, error["code"], reason_of(error)) == (400, 3, "REQUEST_MALFORMED")
    assert error["message"]


@pytest.mark.parametrize("query", ["nope=1", "page_size=five", "status=SOMEWHERE"])
async def test_a_query_parameter_that_does_not_fit_is_400(buyer: Buyer, query: str) -> None:
    status, _, error = await buyer.call("GET", f"/v1/orders?{query}")
    assert (status, reason_of(error)) == (400, "REQUEST_MALFORMED")
    assert query.split("=")[0] in error["message"]


async def test_query_parameters_reach_the_service(buyer: Buyer, shop: Shop) -> None:
    status, _, page = await buyer.call("GET", "/v1/orders?page_size=5&status=COMPLETED")
    assert (status, page) == (200, {"orders": [], "next_page_token": ""})
    assert shop.last_request == order_service_pb2.ListOrdersRequest(
        page_size=5, status=order_pb2.Order.COMPLETED
    )


async def test_a_body_above_the_limit_is_413_and_one_below_it_passes(buyer: Buyer, shop: Shop) -> None:
    status, _, error = await buyer.call(
        "POST", "/v1/webhooks/stripe", token=False, data=b"x" * (MAX_REQUEST_BYTES + 1)
    )
    assert (status, reason_of(error)) == (413, "REQUEST_TOO_LARGE")
    assert str(MAX_REQUEST_BYTES) in error["message"]
    status, _, _ = await buyer.call("POST", "/v1/webhooks/stripe", token=False, data=b"x" * MAX_REQUEST_BYTES)
    assert status == 200
    assert isinstance(shop.last_request, httpbody_pb2.HttpBody)
    assert len(shop.last_request.data) == MAX_REQUEST_BYTES


async def test_a_service_that_does_not_answer_in_time_is_504(buyer: Buyer, shop: Shop) -> None:
    with shop.dawdling(5 * REQUEST_TIMEOUT_S):
        status, headers, error = await buyer.call("POST", "/v1/checkouts", json=CART)
    assert (status, error["code"], reason_of(error)) == (504, 4, "SERVICE_TIMEOUT")
    assert headers["retry-after"] == "1"


# Browsers.


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://shop.example"])
async def test_a_web_shop_may_call_and_read(buyer: Buyer, origin: str) -> None:
    asks = {"origin": origin, "access-control-request-method": "POST"}
    status, headers, _ = await buyer.call("OPTIONS", "/v1/checkouts", token=False, headers=asks)
    assert (status, headers["access-control-allow-origin"]) == (200, origin)
    assert "idempotency-key" in headers["access-control-allow-headers"]
    _, headers, _ = await buyer.call("GET", "/v1/orders/x", headers={"origin": origin})
    assert headers["access-control-allow-origin"] == origin
    assert "x-correlation-id" in headers["access-control-expose-headers"]
    _, headers, _ = await buyer.call("GET", "/v1/orders/x", token=False, headers={"origin": origin})
    assert headers["access-control-allow-origin"] == origin


async def test_a_strange_origin_gets_no_permission(buyer: Buyer, shop: Shop) -> None:
    before = len(shop.calls)
    asks = {"origin": "https://localhost.evil.example", "access-control-request-method": "POST"}
    _, headers, _ = await buyer.call("OPTIONS", "/v1/checkouts", token=False, headers=asks)
    assert "access-control-allow-origin" not in headers
    assert len(shop.calls) == before


async def test_a_watched_order_is_a_stream_of_server_sent_events(buyer: Buyer) -> None:
    status, headers, text = await buyer.call("GET", "/v1/orders/ord_1:watch")
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert headers["cache-control"] == "no-store"
    events = [json.loads(event.removeprefix("data: ")) for event in text.strip().split("\n\n")]
    assert [event["status"] for event in events] == ["PROCESSING", "COMPLETED"]


async def test_a_watch_outlives_the_request_time_out(buyer: Buyer, shop: Shop) -> None:
    with shop.dawdling(1.5 * REQUEST_TIMEOUT_S):
        status, _, _ = await buyer.call("GET", "/v1/orders/ord_1:watch")
    assert status == 200
