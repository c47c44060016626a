"""What operators rely on: the edge survives its services, and says what it did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from florin.order.v1 import order_service_pb2, order_service_pb2_grpc
from grpc import StatusCode, aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from structlog.testing import capture_logs

from edge import EdgeSettings, Endpoint, write_endpoints
from kit.rpc.pipeline import Pipeline
from roster import ROSTER
from runner import envoy
from runner.settings import Settings
from tests.support.edge import (
    CART,
    Buyer,
    Edge,
    Refusal,
    Shop,
    Tokens,
    breaking,
    error_info,
    reason_of,
    running_edge,
    serving,
    settings_for,
)
from tests.support.waiting import eventually

# The edge asks a service that is down four times a second; the rest is for a busy machine.
RECOVERY_DEADLINE_S = 5.0
# Spans and log lines are written every second or few.
FLUSH_DEADLINE_S = 15.0

SECRET = "not-for-the-log"


@contextlib.asynccontextmanager
async def buyer_at(settings: EdgeSettings) -> AsyncIterator[tuple[Edge, Buyer]]:
    """An edge of one's own and a buyer before it."""
    tokens = Tokens()
    async with (
        running_edge(settings, tokens.jwks) as edge,
        aiohttp.ClientSession(edge.url) as session,
    ):
        yield edge, Buyer(session, tokens)


async def test_a_service_that_is_down_is_503_at_once_and_back_within_seconds(
    tmp_path: Path,
) -> None:
    """A service that was killed and started again on its port needs nothing from the edge."""
    shop = Shop()
    async with contextlib.AsyncExitStack() as first_life:
        services = await first_life.enter_async_context(serving(shop))
        settings = settings_for(tmp_path, services)
        async with buyer_at(settings) as (_, buyer):
            assert (await buyer.call("GET", "/v1/orders/x"))[0] == 200
            await first_life.aclose()

            started = time.monotonic()
            status, headers, error = await buyer.call("POST", "/v1/checkouts", json=CART)
            assert time.monotonic() - started < settings.request_timeout_s
            assert (status, error["code"], reason_of(error)) == (503, 14, "SERVICE_UNAVAILABLE")
            assert headers["retry-after"] == "1"

            async with serving(shop, at=services):

                async def is_back() -> bool:
                    return (await buyer.call("GET", "/v1/orders/x"))[0] == 200

                await eventually(is_back, "the service is back", deadline_s=RECOVERY_DEADLINE_S)


async def test_a_mistake_of_a_service_is_500_and_nobody_is_told_to_repeat_it(tmp_path: Path) -> None:
    """Through the pipeline of a real service, for each way to call; the edge sends nothing again either."""
    shop = Shop()
    async with (
        serving(shop, interceptors=[Pipeline()]) as services,
        buyer_at(settings_for(tmp_path, services)) as (edge, buyer),
        aio.insecure_channel(edge.target) as channel,
    ):
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        asked = order_service_pb2.GetOrderRequest(id="ord_1")
        with shop.mistaken(RuntimeError(SECRET)), capture_logs() as lines:
            status, headers, error = await buyer.call("GET", "/v1/orders/ord_1")
            watched, _, text = await buyer.call("GET", "/v1/orders/ord_1:watch")
            with pytest.raises(aio.AioRpcError) as raised:
                await stub.GetOrder(asked, metadata=tuple(buyer.tokens.bearer().items()), timeout=5)
    assert (status, error["code"], reason_of(error)) == (500, 13, "INTERNAL")
    assert "retry-after" not in headers
    assert len(error["details"]) == 1, "and no RetryInfo"
    assert watched == 500
    assert raised.value.code() is StatusCode.INTERNAL
    assert SECRET not in repr((headers, error, text, raised.value))
    assert len(shop.calls) == 3
    surprises = [line["correlation_id"] for line in lines if line["event"] == "rpc.surprised"]
    assert len(surprises) == 3
    assert surprises[0] == headers["x-correlation-id"], "what the caller reports is in the log"


async def test_every_replica_gets_calls_and_one_is_enough(tmp_path: Path) -> None:
    one, other = Shop(), Shop()
    async with serving(one) as first, contextlib.AsyncExitStack() as second_life:
        second = await second_life.enter_async_context(serving(other))
        settings = settings_for(
            tmp_path,
            first,
            upstreams=dict.fromkeys(ROSTER.processes, (first, second)),
        )
        async with buyer_at(settings) as (_, buyer):
            for _ in range(40):
                assert (await buyer.call("GET", "/v1/orders/x"))[0] == 200
            assert one.calls
            assert other.calls
            await second_life.aclose()
            for _ in range(20):
                assert (await buyer.call("GET", "/v1/orders/x"))[0] == 200


async def test_replicas_come_and_go_without_a_restart_of_the_edge(tmp_path: Path) -> None:
    one, other = Shop(), Shop()
    async with (
        serving(one) as first,
        serving(other) as second,
        buyer_at(settings_for(tmp_path, first)) as (edge, buyer),
    ):
        assert (await buyer.call("GET", "/v1/orders/x"))[0] == 200

        async def only(shop: Shop) -> bool:
            """Whether a row of calls reaches this one alone; each is answered, whoever gets it."""
            before = len(one.calls) + len(other.calls) - len(shop.calls)
            for _ in range(20):
                assert (await buyer.call("GET", "/v1/orders/x"))[0] == 200
            return len(one.calls) + len(other.calls) - len(shop.calls) == before

        both = dict.fromkeys(ROSTER.processes, (first, second))
        write_endpoints(replace(edge.settings, upstreams=both))

        async def both_are_asked() -> bool:
            return not await only(one)

        await eventually(both_are_asked, "the new replica gets calls")
        write_endpoints(replace(edge.settings, upstreams=dict.fromkeys(ROSTER.processes, (second,))))
        # It gets calls for as long as it takes them, and says itself when it does not.
        one.health.phase = "is stopping"
        await eventually(lambda: only(other), "the one that went gets none")
        seen = Settings.model_validate({"envoy_admin_port": int(edge.admin.rpartition(":")[2])})
        assert not await asyncio.to_thread(envoy.sends_work_to, seen, "order_svc", first.port)
        assert await asyncio.to_thread(envoy.sends_work_to, seen, "order_svc", second.port)
        assert await asyncio.to_thread(envoy.sends_work_to, seen, "ledger_svc", first.port), (
            "it has no callers"
        )


@pytest.mark.parametrize(
    ("method", "path", "body"), [("GET", "/v1/orders/x", None), ("POST", "/v1/checkouts", CART)]
)
async def test_what_a_killed_replica_had_in_hand_is_asked_of_another(
    tmp_path: Path, method: str, path: str, body: object
) -> None:
    """Nobody is refused; a mutation goes to the other replica under the same key."""
    one, other = Shop(), Shop()
    async with serving(other) as second, contextlib.AsyncExitStack() as life:
        first = await life.enter_async_context(breaking(await life.enter_async_context(serving(one))))
        both = dict.fromkeys(ROSTER.processes, (first, second))
        async with buyer_at(settings_for(tmp_path, first, upstreams=both, request_timeout_s=10)) as (
            _,
            buyer,
        ):

            async def call() -> tuple[int, str]:
                key = uuid.uuid4().hex
                status, _, _ = await buyer.call(method, path, json=body, headers={"idempotency-key": key})
                return status, key

            with one.dawdling(60):
                calls = [asyncio.create_task(call()) for _ in range(10)]
                await eventually(lambda: len(one.calls) + len(other.calls) == 10, "all are under way")
                in_hand = [str(metadata["idempotency-key"]) for _, _, metadata in one.calls]
                assert in_hand, "the replica that dies has some of them"
                await life.aclose()
                answers = await asyncio.gather(*calls)
            assert {status for status, _ in answers} <= {200, 202}
            assert set(in_hand) <= {str(metadata["idempotency-key"]) for _, _, metadata in other.calls}
            # And those who come after them do not notice anything.
            assert {(await call())[0] for _ in range(20)} <= {200, 202}


async def test_one_line_a_request_and_nothing_secret_in_it(tmp_path: Path) -> None:
    async with serving(Shop()) as services:
        settings = settings_for(tmp_path, services)
        async with buyer_at(settings) as (_, buyer):
            headers = {
                "x-correlation-id": "cart-1",
                "idempotency-key": SECRET,
                "stripe-signature": SECRET,
            }
            await buyer.call("GET", f"/v1/orders?page_token={SECRET}", headers=headers)
            lines = await _log_lines(settings.access_log_path, 1)
    line = lines[0]
    assert (line["method"], line["path"], line["route"]) == ("GET", "/v1/orders", "GET /v1/orders")
    assert (line["status"], line["grpc_status"], line["subject"]) == (200, "OK", "buyer_1")
    assert line["correlation_id"] == "cart-1"
    assert len(line["request_id"]) == 36
    assert len(line["trace_id"]) == 32
    assert SECRET not in json.dumps(lines)


async def test_a_thinned_log_still_has_every_failure(tmp_path: Path) -> None:
    async with serving(Shop()) as services:
        settings = settings_for(tmp_path, services, access_log_ratio=0.0001)
        async with buyer_at(settings) as (_, buyer):
            for _ in range(20):
                await buyer.call("GET", "/v1/orders/x")
                await buyer.call("GET", "/v1/orders/x", token=False)
            lines = await _log_lines(settings.access_log_path, 20)
    assert [line["status"] for line in lines].count(401) == 20
    assert len(lines) < 30


async def _log_lines(path: Path, count: int) -> list[dict[str, Any]]:
    def lines() -> list[dict[str, Any]]:
        complete, _, _ = path.read_text().rpartition("\n")
        return [json.loads(line) for line in complete.splitlines()]

    await eventually(
        lambda: len(lines()) >= count, f"{count} lines are in the access log", deadline_s=FLUSH_DEADLINE_S
    )
    return lines()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span it is sent, with the name of the service that sent it."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, trace_pb2.Span]] = []
        self.arrived = asyncio.Event()

    async def Export(
        self,
        request: trace_service_pb2.ExportTraceServiceRequest,
        context: aio.ServicerContext[Any, Any],
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for sender in request.resource_spans:
            name = {each.key: each.value.string_value for each in sender.resource.attributes}["service.name"]
            self.spans += [(name, span) for scope in sender.scope_spans for span in scope.spans]
        self.arrived.set()
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_the_edges_span_begins_the_trace_that_the_service_goes_on_with(
    tmp_path: Path,
) -> None:
    collector, shop = Collector(), Shop()
    server = aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        collector, server
    )
    otlp = Endpoint("127.0.0.1", server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    try:
        async with (
            serving(shop) as services,
            buyer_at(settings_for(tmp_path, services, otlp=otlp)) as (_, buyer),
        ):
            await buyer.call("POST", "/v1/checkouts", json=CART, headers={"x-correlation-id": "cart-1"})
            await asyncio.wait_for(collector.arrived.wait(), FLUSH_DEADLINE_S)
    finally:
        await server.stop(grace=0)
    ((service, span),) = collector.spans
    assert (service, span.name) == ("envoy", "florin.order.v1.OrderService/CreateCheckout")
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert attributes["correlation_id"] == "cart-1"
    _, trace_id, parent_id, flags = str(shop.last_metadata["traceparent"]).split("-")
    assert (trace_id, parent_id, flags) == (span.trace_id.hex(), span.span_id.hex(), "01")


async def test_the_admin_page_is_on_loopback_even_if_the_edge_is_not(tmp_path: Path) -> None:
    async with serving(Shop()) as services:
        settings = settings_for(tmp_path, services, bind_host="0.0.0.0")
        async with buyer_at(settings) as (edge, _):
            assert edge.admin.startswith("http://127.0.0.1:")


async def test_more_at_once_than_a_service_can_answer_is_refused_at_the_edge_and_never_who_watches(
    tmp_path: Path,
) -> None:
    shop = Shop()
    async with serving(shop) as services:
        settings = settings_for(tmp_path, services, request_timeout_s=15.0, max_in_flight=5)
        async with buyer_at(settings) as (_, buyer):
            with shop.dawdling(1.0):
                answers = await asyncio.gather(
                    *(buyer.call("POST", "/v1/checkouts", json=CART) for _ in range(20)),
                    *(buyer.call("GET", "/v1/orders/x:watch") for _ in range(20)),
                )
    checkouts, watches = answers[:20], answers[20:]
    assert [status for status, _, _ in checkouts].count(202) == 5
    refused = [(headers, error) for status, headers, error in checkouts if status == 503]
    assert len(refused) == 15
    assert {reason_of(error) for _, error in refused} == {"SERVICE_UNAVAILABLE"}
    assert all(headers["retry-after"] == "1" for headers, _ in refused)
    assert {status for status, _, _ in watches} == {200}


@pytest.mark.parametrize("burst", [400])
async def test_a_burst_of_simultaneous_checkouts_is_let_through(tmp_path: Path, burst: int) -> None:
    shop = Shop()
    async with serving(shop) as services:
        settings = settings_for(tmp_path, services, request_timeout_s=15.0)
        async with buyer_at(settings) as (_, buyer):
            with shop.dawdling(0.2):
                answers = await asyncio.gather(
                    *(buyer.call("POST", "/v1/checkouts", json=CART) for _ in range(burst))
                )
    assert {status for status, _, _ in answers} == {202}


# More than the edge has to see before it believes that a service has too much to do.
CROWD = 200


async def crowd_at(buyer: Buyer) -> list[int]:
    """What so many checkouts at once are answered."""
    answers = await asyncio.gather(*(buyer.call("POST", "/v1/checkouts", json=CART) for _ in range(CROWD)))
    return [status for status, _, _ in answers]


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED])
async def test_of_those_whom_a_service_would_refuse_the_edge_turns_most_away_itself(
    tmp_path: Path, code: StatusCode
) -> None:
    shop = Shop()
    refusal = Refusal(code, "too much to do", (error_info("TOO_MANY_WAITING"),))
    async with serving(shop) as services:
        settings = settings_for(tmp_path, services, request_timeout_s=15.0)
        async with buyer_at(settings) as (_, buyer):
            with shop.refusing(refusal):
                await crowd_at(buyer)
                asked = len(shop.calls)
                answers = await asyncio.gather(
                    *(buyer.call("POST", "/v1/checkouts", json=CART) for _ in range(CROWD))
                )
                assert len(shop.calls) - asked < CROWD / 2
                turned_away = [
                    headers for _, headers, error in answers if reason_of(error) == "SERVICE_UNAVAILABLE"
                ]
                assert len(turned_away) > CROWD / 2
                assert {headers["retry-after"] for headers in turned_away} == {"1"}
                # Who asks what became of an order, and a PSP that tells it, are heard all the same.
                asked = len(shop.calls)
                await asyncio.gather(
                    *(buyer.call("GET", "/v1/orders/ord_1") for _ in range(20)),
                    *(buyer.call("POST", "/v1/webhooks/stripe", data=b"{}", token=False) for _ in range(20)),
                )
                assert len(shop.calls) - asked == 40

            async def are_all_accepted() -> bool:
                return set(await crowd_at(buyer)) == {202}

            await eventually(are_all_accepted, "the edge trusts the service again")


async def test_buyers_whose_carts_are_wrong_close_the_shop_to_nobody(tmp_path: Path) -> None:
    shop = Shop()
    refusal = Refusal(StatusCode.INVALID_ARGUMENT, "no such product", (error_info("FIELD_INVALID"),))
    async with serving(shop) as services:
        settings = settings_for(tmp_path, services, request_timeout_s=15.0)
        async with buyer_at(settings) as (_, buyer):
            with shop.refusing(refusal):
                assert set(await crowd_at(buyer)) == {400}
            assert set(await crowd_at(buyer)) == {202}
