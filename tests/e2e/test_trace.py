"""One checkout can be followed through everything it touches: one trace, one correlation id."""

from __future__ import annotations

import json
import uuid

import pytest

from roster import ROSTER
from tests.support.collector import Collector, Span
from tests.support.shop import Json, Order, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("system")

# Who hands a completed checkout on to whom, seen as spans whose parent is another process's.
HANDED_ON = {
    ("envoy", "order_svc"),
    ("order_svc", "inventory_svc"),
    ("inventory_svc", "payment_svc"),
    ("payment_svc", "inventory_svc"),
    ("payment_svc", "ledger_svc"),
    ("payment_svc", "order_svc"),
    ("inventory_svc", "order_svc"),
    ("ledger_svc", "order_svc"),
    ("order_svc", "notification_svc"),
}

SERVICES = set(ROSTER.processes)


async def checks_out(shop: Shop, card: str = "pm_card_visa") -> Order:
    """A checkout under a correlation id of the caller's own choice."""
    await shop.put_product("mug", stock=5)
    correlation = {"x-correlation-id": f"trace-{uuid.uuid4().hex[:16]}"}
    answer = await shop.checkout(shop.cart("mug", card=card), key="k", headers=correlation)
    assert answer.status == 202, answer
    assert answer.body["correlation_id"] == correlation["x-correlation-id"]
    return Order(answer.body)


async def trace_of(collector: Collector, order: Order) -> list[Span]:
    """The spans of the one trace that an order's correlation id is in, once the e-mail is sent."""
    await eventually(
        lambda: any(span.name == "mail send" for span in collector.about(order.correlation_id)),
        "the last span of the checkout has arrived",
    )
    (trace_id,) = {span.trace_id for span in collector.about(order.correlation_id)}

    def is_whole() -> bool:
        spans = collector.trace(trace_id)
        ids = {span.id for span in spans}
        return all(span.parent_id in ids for span in spans if span.parent_id) and len(roots(spans)) == 1

    await eventually(is_whole, "every span's parent has arrived")
    return collector.trace(trace_id)


def roots(spans: list[Span]) -> list[Span]:
    return [span for span in spans if not span.parent_id]


def handed_on(spans: list[Span]) -> set[tuple[str, str]]:
    """(from, to) for each step from one process to another."""
    services = {span.id: span.service for span in spans}
    steps = {(services[span.parent_id], span.service) for span in spans if span.parent_id}
    return {(sender, receiver) for sender, receiver in steps if sender != receiver}


async def test_one_checkout_is_one_trace_from_the_edge_to_the_mail(shop: Shop, collector: Collector) -> None:
    order = await shop.waits_until_ended(await checks_out(shop))
    spans = await trace_of(collector, order)
    (root,) = roots(spans)
    assert root.service == "envoy"
    assert handed_on(spans) >= HANDED_ON
    assert {span.attributes.get("correlation_id") for span in spans} == {order.correlation_id}


async def test_what_the_buyer_does_later_is_in_the_same_trace(shop: Shop, collector: Collector) -> None:
    order = await checks_out(shop, "pm_card_authenticationRequired")
    waiting = await shop.waits_until(order, "REQUIRES_ACTION")
    await shop.psp.answer_challenge(waiting, passed=True)
    await shop.waits_until_ended(order)
    spans = await trace_of(collector, order)
    assert "payment captured by webhook" in {span.name for span in spans}
    assert handed_on(spans) >= HANDED_ON
    assert {span.attributes.get("correlation_id") for span in spans} == {order.correlation_id}


async def test_the_timeline_names_the_trace(shop: Shop, collector: Collector) -> None:
    order = await shop.waits_until_ended(await checks_out(shop))
    (trace_id,) = {span.trace_id for span in await trace_of(collector, order)}
    token = shop.token("buyer", order.customer_id)
    timeline = await shop.call("GET", f"/v1/orders/{order.id}/timeline", token=token)
    assert {step["trace_id"] for step in timeline.body["steps"]} == {trace_id}


def lines_about(shop: Shop, log_name: str, *ids: str) -> list[Json]:
    """The lines of a process's log in which one of these ids stands."""
    text = (shop.system.settings.logs_dir / log_name).read_text()
    return [json.loads(line) for line in text.splitlines() if any(each in line for each in ids)]


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_chargeDeclined", "pm_sim_error_then_ok"])
async def test_the_correlation_id_is_in_every_log_and_at_the_psp(shop: Shop, card: str) -> None:
    order = await shop.waits_until_ended(await checks_out(shop, card))
    await eventually(lambda: bool(shop.mails_about(order)), "the e-mail is sent")
    silent = {"ledger_svc"} if order.status == "FAILED" else set()
    for service in SERVICES - silent:

        def has_logged(service: str = service) -> bool:
            return bool(lines_about(shop, f"{service}.log", order.correlation_id))

        await eventually(has_logged, f"{service} has logged what it did")
        for line in lines_about(shop, f"{service}.log", order.id, str(order.body["payment_id"])):
            assert order.correlation_id in json.dumps(line), f"{service} logged this without saying for whom"

    (intent,) = await shop.psp.intents_of(order.id)
    assert intent["metadata"]["correlation_id"] == order.correlation_id


async def test_the_correlation_id_is_in_the_edges_access_log(shop: Shop) -> None:
    order = await shop.waits_until_ended(await checks_out(shop))

    def has_logged() -> bool:
        lines = lines_about(shop, "envoy-access.log", order.correlation_id)
        return any(line["correlation_id"] == order.correlation_id for line in lines)

    # Envoy writes its access log in blocks, at least once every ten seconds.
    await eventually(has_logged, "the edge has logged the call", deadline_s=30)
