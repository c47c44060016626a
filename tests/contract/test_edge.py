"""The edge keeps its half of the contract: a real Envoy between real clients and fake services."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from florin.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from florin.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from tests.support.edge import (
    Edge,
    EdgeSettings,
    Refusal,
    Shop,
    Tokens,
    error_info,
    running_edge,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CART = {"merchant_id": "mer_demo", "items": [{"sku": "mug", "quantity": 2}], "currency": "EUR"}
TIMEOUT_S = 1.0
MAX_BYTES = 64 * 1024

Answer = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tokens: Tokens, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with serving(shop) as services:
        settings = EdgeSettings(
            data_dir=tmp_path_factory.mktemp("edge"),
            edge_port=0,
            admin_port=0,
            upstreams={name: (services,) for name in ("order_svc", "inventory_svc", "payment_svc")},
            request_timeout_s=TIMEOUT_S,
            max_request_bytes=MAX_BYTES,
            cors_origins=("https://shop.example",),
        )
        async with running_edge(settings, tokens.jwks) as running:
            yield running


class Buyer:
    """Calls REST with a buyer's token."""

    def __init__(self, session: aiohttp.ClientSession, tokens: Tokens) -> None:
        self._session = session
        self._tokens = tokens

    async def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, token: bool = True, **body: Any
    ) -> Answer:
        """The status, the headers by lower-case name, and the JSON of the answer."""
        sent = (self._tokens.bearer() if token else {}) | (headers or {})
        async with self._session.request(method, path, headers=sent, **body) as answer:
            text = await answer.text()
            received = {name.lower(): value for name, value in answer.headers.items()}
            is_json = received.get("content-type") == "application/json"
            return answer.status, received, json.loads(text) if is_json else text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def buyer(edge: Edge, tokens: Tokens) -> AsyncIterator[Buyer]:
    async with aiohttp.ClientSession(edge.url) as session:
        yield Buyer(session, tokens)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(edge: Edge) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(edge.target) as opened:
        yield opened


def bearer(tokens: Tokens, **claims: object) -> tuple[tuple[str, str], ...]:
    return tuple(tokens.bearer(**claims).items())


def reason_of(error: Any) -> str:
    """The reason of an error answer that has the shape of the contract."""
    assert set(error) == {"code", "message", "details"}
    info = error["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "florin"
    return str(info["reason"])


# What a caller sends and what a service sees.


async def test_a_checkout_is_answered_202_with_the_order(buyer: Buyer, shop: Shop) -> None:
    """`x-http-status` becomes the status; the resource itself is the body, zeros and blanks included."""
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


async def test_a_service_learns_who_calls_from_the_token_alone(
    buyer: Buyer, shop: Shop, tokens: Tokens
) -> None:
    """Copies that the caller sends of what only the edge may say are thrown away; so is the token."""
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
    assert not {"x-florin-merchant", "x-florin-anything", "x-http-status", "authorization", "cookie"} & set(seen)
    assert "x-envoy-upstream-rq-timeout-ms" not in seen

    merchant = tokens.bearer(sub="user_7", role="merchant", merchant_id="mer_demo")
    await buyer.call("GET", "/v1/payments/pay_1", headers=merchant)
    assert shop.last_metadata["x-florin-merchant"] == "mer_demo"


async def test_forged_identity_is_stripped_where_no_token_is_needed(buyer: Buyer, shop: Shop) -> None:
    await buyer.call(
        "POST", "/v1/webhooks/stripe", token=False, data=b"{}", headers={"x-florin-role": "ops"}
    )
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
    """A signature is over exact bytes, so nothing may be parsed, trimmed or re-encoded on the way."""
    raw = b' {"id": "evt_1",\r\n "amount": 1.0}\x00\xff\n'
    status, _, answer = await buyer.call(
        "POST",
        "/v1/webhooks/stripe",
        token=False,
        data=raw,
        headers={"stripe-signature": "t=1,v1=abc", "content-type": "application/json; charset=utf-8"},
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
    buyer: Buyer, shop: Shop, code: grpc.StatusCode, chosen: int | None, answered: int, after_headers: bool
) -> None:
    """The same whether the service had already sent headers or not."""
    field = error_details_pb2.BadRequest.FieldViolation(field="currency", description="not sold in JPY")
    details = (
        error_info("CARD_DECLINED", decline_code="lost_card"),
        error_details_pb2.BadRequest(field_violations=[field]),
        error_details_pb2.RetryInfo(),
    )
    metadata: tuple[tuple[str, str | bytes], ...] = (("retry-after", "7"),)
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


@pytest.mark.parametrize("body", ["{nope", "hello", "[1]", '{"items": [{"quantity": "many"}]}', '{"items": 5}'])
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
    status, _, error = await buyer.call("POST", "/v1/webhooks/stripe", token=False, data=b"x" * (MAX_BYTES + 1))
    assert (status, reason_of(error)) == (413, "REQUEST_TOO_LARGE")
    assert str(MAX_BYTES) in error["message"]
    status, _, _ = await buyer.call("POST", "/v1/webhooks/stripe", token=False, data=b"x" * MAX_BYTES)
    assert status == 200
    assert isinstance(shop.last_request, httpbody_pb2.HttpBody)
    assert len(shop.last_request.data) == MAX_BYTES


async def test_a_service_that_does_not_answer_in_time_is_504(buyer: Buyer, shop: Shop) -> None:
    with shop.dawdling(5 * TIMEOUT_S):
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
    with shop.dawdling(1.5 * TIMEOUT_S):
        status, _, _ = await buyer.call("GET", "/v1/orders/ord_1:watch")
    assert status == 200


async def grpc_web(edge: Edge, path: str, message: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    """One gRPC-Web call framed by hand, as a browser's library frames it."""
    frame = b"\x00" + len(message).to_bytes(4, "big") + message
    sent = headers | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    async with (
        aiohttp.ClientSession(edge.url) as session,
        session.post(path, data=frame, headers=sent) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_grpc_web_gets_the_message_and_the_trailers_in_the_body(edge: Edge, tokens: Tokens) -> None:
    message = order_service_pb2.GetOrderRequest(id="ord_1").SerializeToString()
    status, _, body = await grpc_web(edge, "/florin.order.v1.OrderService/GetOrder", message, tokens.bearer())
    assert status == 200
    length = int.from_bytes(body[1:5], "big")
    assert order_pb2.Order.FromString(body[5 : 5 + length]).status == order_pb2.Order.COMPLETED
    trailers = body[5 + length :]
    assert trailers[0] == 0x80
    assert b"grpc-status:0" in trailers


async def test_grpc_web_without_a_token_is_unauthenticated(edge: Edge) -> None:
    status, headers, _ = await grpc_web(edge, "/florin.order.v1.OrderService/GetOrder", b"", {})
    assert (status, headers["grpc-status"]) == (401, "16")


# gRPC.


async def test_grpc_callers_get_the_order_and_no_http_status(
    channel: aio.Channel, tokens: Tokens, shop: Shop
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    metadata = (*bearer(tokens), ("idempotency-key", "key-9"), ("x-correlation-id", "grpc-1"))
    call = stub.CreateCheckout(order_service_pb2.CreateCheckoutRequest(), metadata=metadata, timeout=5)
    order = await call
    assert order.id == "ord_1"
    answered = dict(await call.initial_metadata())
    assert answered["x-correlation-id"] == "grpc-1"
    assert "x-http-status" not in answered
    assert shop.last_metadata["idempotency-key"] == "key-9"
    assert shop.last_metadata["x-florin-subject"] == "buyer_1"


async def test_grpc_callers_get_refusals_with_their_details(
    channel: aio.Channel, tokens: Tokens, shop: Shop
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    refusal = Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "declined",
        (error_info("CARD_DECLINED"),),
        (("x-http-status", "402"),),
    )
    with shop.refusing(refusal), pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(
            order_service_pb2.CreateCheckoutRequest(), metadata=bearer(tokens), timeout=5
        )
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    trailers = dict(raised.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "CARD_DECLINED"


async def test_grpc_callers_can_watch_an_order(channel: aio.Channel, tokens: Tokens) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    request = order_service_pb2.WatchOrderRequest(id="ord_1")
    seen = [order.status async for order in stub.WatchOrder(request, metadata=bearer(tokens), timeout=5)]
    assert seen == [order_pb2.Order.PROCESSING, order_pb2.Order.COMPLETED]


@pytest.mark.parametrize("claims", [None, {"aud": "elsewhere"}, {"exp": 1_000_000_000}])
async def test_grpc_callers_without_a_good_token_are_unauthenticated(
    channel: aio.Channel, tokens: Tokens, claims: dict[str, object] | None
) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    metadata = () if claims is None else bearer(tokens, **claims)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.GetOrder(order_service_pb2.GetOrderRequest(id="x"), metadata=metadata, timeout=5)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_internal_rpc_cannot_be_reached(channel: aio.Channel, tokens: Tokens) -> None:
    """Not even by the operator: there is no route to it."""
    stub = inventory_service_pb2_grpc.CatalogueServiceStub(channel)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.BatchGetProducts(
            inventory_service_pb2.BatchGetProductsRequest(), metadata=bearer(tokens, role="ops"), timeout=5
        )
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_grpc_requests_have_the_same_limits(channel: aio.Channel, tokens: Tokens, shop: Shop) -> None:
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    large = order_service_pb2.CreateCheckoutRequest(receipt_email="x" * 2 * MAX_BYTES)
    with pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(large, metadata=bearer(tokens), timeout=5)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(MAX_BYTES) in (raised.value.details() or "")
    with shop.dawdling(5 * TIMEOUT_S), pytest.raises(aio.AioRpcError) as raised:
        await stub.CreateCheckout(
            order_service_pb2.CreateCheckoutRequest(), metadata=bearer(tokens), timeout=10 * TIMEOUT_S
        )
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


# The operator's side.


async def test_the_admin_page_is_on_loopback(edge: Edge, tmp_path: Path) -> None:
    assert edge.admin.startswith("http://127.0.0.1:")
