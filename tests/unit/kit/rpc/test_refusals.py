"""Who may call, what is refused, and how it is told."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from florin.common.v1.charge_pb2 import StockLine
from florin.order.v1.order_pb2 import Order
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest, GetOrderRequest, WatchOrderRequest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted
from tests.unit.kit.rpc.edge import BUYER, KEY, OPS, Edge, a_cart, refusal_of


async def test_a_call_that_may_be_made_is_answered_under_its_correlation_id(edge: Edge) -> None:
    answer, metadata = await edge.call(
        "GetOrder", GetOrderRequest(id="ord_1"), BUYER, {"x-correlation-id": "cor_7"}
    )
    assert answer == Order(id="ord_1")
    assert "x-correlation-id" not in metadata, "whoever sent it has it"
    [call] = edge.orders.calls
    assert (str(call.principal), call.trail.correlation_id) == ("buyer:usr_1", "cor_7")
    _, metadata = await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    assert metadata["x-correlation-id"] == edge.orders.calls[-1].trail.correlation_id


@pytest.mark.parametrize("identity", [{}, {"x-florin-role": "buyer"}, {**BUYER, "x-florin-role": "root"}])
async def test_nobody_is_401(edge: Edge, identity: dict[str, str]) -> None:
    refusal = await edge.refused("GetOrder", GetOrderRequest(id="ord_1"), identity)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "401",
        "UNAUTHENTICATED",
    )
    assert edge.orders.calls == []


async def test_the_wrong_role_is_403_even_before_the_request_is_looked_at(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", CreateCheckoutRequest(), OPS)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "403",
        "ROLE_NOT_ALLOWED",
    )


async def test_an_invalid_request_is_400_and_names_every_field_as_a_caller_writes_it(edge: Edge) -> None:
    cart = a_cart(currency="euro", items=[StockLine(sku="mug", quantity=1), StockLine(sku="tee", quantity=0)])
    refusal = await edge.refused("CreateCheckout", cart, BUYER, KEY)
    assert (refusal.code, refusal.http_status, refusal.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "400",
        "FIELD_INVALID",
    )
    assert sorted(refusal.fields) == ["currency", "items[1].quantity"]


async def test_a_mutation_without_a_key_is_400_and_a_read_needs_none(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(), BUYER)
    assert (refusal.http_status, refusal.reason) == ("400", "IDEMPOTENCY_KEY_MISSING")
    await edge.call("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    await edge.call("CreateCheckout", a_cart(), BUYER, KEY)
    await edge.call("CreateCheckout", a_cart(request_id="k1"), BUYER)
    assert len(edge.orders.calls) == 3


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("k" * 256, "IDEMPOTENCY_KEY_INVALID"),
        ("4242424242424242", "CARD_NUMBER_REFUSED"),
        ("4242-4242-4242-4242", "CARD_NUMBER_REFUSED"),
    ],
)
async def test_a_key_that_cannot_be_kept_is_400(edge: Edge, key: str, reason: str) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(), BUYER, {"idempotency-key": key})
    assert (refusal.http_status, refusal.reason) == ("400", reason)


async def test_two_different_keys_in_one_request_are_400(edge: Edge) -> None:
    refusal = await edge.refused("CreateCheckout", a_cart(request_id="k2"), BUYER, KEY)
    assert refusal.reason == "IDEMPOTENCY_KEY_INVALID"


async def test_the_fingerprint_is_that_of_the_request_wherever_its_key_was(edge: Edge) -> None:
    await edge.call("CreateCheckout", a_cart(), BUYER, KEY)
    await edge.call("CreateCheckout", a_cart(request_id="k1"), BUYER)
    await edge.call("CreateCheckout", a_cart(currency="USD"), BUYER, KEY)
    header, field, other = [call.key for call in edge.orders.calls]
    assert header == field
    assert header.identity == other.identity
    assert header.fingerprint != other.fingerprint


async def test_a_refusal_of_the_service_keeps_its_reason_status_and_advice(edge: Edge) -> None:
    async def full() -> Order:
        raise Exhausted(TOO_MANY_WAITING, "come back", retry_after_s=1.5)

    edge.orders.behave = full
    refusal = await edge.refused("GetOrder", GetOrderRequest(id="ord_1"), BUYER)
    assert (refusal.code, refusal.http_status) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "429")
    assert (refusal.reason, refusal.retry_s) == ("TOO_MANY_WAITING", 1.5)
    assert refusal.initial["x-correlation-id"].startswith("cor_")


@pytest.mark.parametrize(
    ("method", "request_"),
    [("GetOrder", GetOrderRequest(id="ord_1")), ("WatchOrder", WatchOrderRequest(id="ord_1"))],
)
async def test_a_mistake_of_ours_is_500_without_advice_and_says_nothing_of_itself(
    edge: Edge, method: str, request_: Message
) -> None:
    async def defect() -> Order:
        raise RuntimeError("password=hunter2")

    edge.orders.behave = defect
    with pytest.raises(grpc.aio.AioRpcError) as caught, capture_logs() as lines:
        await edge.call(method, request_, BUYER, {"x-correlation-id": "cor_7"})
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.http_status) == (grpc.StatusCode.INTERNAL, "500")
    assert (refusal.reason, refusal.retry_s) == ("INTERNAL", 0)
    assert "hunter2" not in repr(caught.value)
    surprised, answered = lines
    # The log has all of it, to be found by what the caller reports.
    assert (surprised["event"], surprised["correlation_id"]) == ("rpc.surprised", "cor_7")
    assert (answered["event"], answered["code"]) == ("rpc.answered", "INTERNAL")
