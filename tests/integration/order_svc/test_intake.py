"""Checkouts become orders: each key once, priced by the server, with their event in one commit."""

from __future__ import annotations

import asyncio

import pytest
from florin.order.v1.order_events_pb2 import OrderPlaced

from order_svc.domain.order import Status
from order_svc.domain.pricing import Price
from tests.integration.order_svc.conftest import Counter, NewCounter, answer, call, checkout, reason
from tests.support.service import opened, recorded

COUNTS = (
    "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM idempotency_keys),"
    " (SELECT count(*) FROM timeline)"
)


async def test_a_checkout_is_an_order_and_an_event_in_one_commit(counter: Counter) -> None:
    [reply] = await counter.ask(call("key"))
    message = answer(reply).message
    order = await counter.order(message.id)
    assert (order.status, order.version) == (Status.PROCESSING, 1)
    assert (order.total_amount, order.tax_amount) == (2_000, 319)
    assert (message.total_amount, message.tax_amount, message.correlation_id) == (2_000, 319, "cor_1")
    [placed] = opened(recorded(counter.runtime).take())
    assert isinstance(placed, OrderPlaced)
    assert (placed.order_id, placed.version) == (order.id, 1)
    assert [(line.sku, line.quantity) for line in placed.lines] == [("mug", 2)]
    assert (placed.charge.amount, placed.charge.tax_amount) == (2_000, 319)
    assert placed.charge.receipt_email == "cus_1@example.com"
    assert await counter.steps(order.id) == ["order.placed"]


async def test_an_order_comes_back_as_it_was_placed(counter: Counter) -> None:
    order_id = await counter.place({"mug": 1, "tea": 3})
    order = await counter.order(order_id)
    assert [(line.sku, line.name, line.quantity, line.unit_amount) for line in order.lines] == [
        ("mug", "Mug", 1, 1_000),
        ("tea", "Tea", 3, 799),
    ]
    assert order.shipping_address == {"country": "DE"}
    assert order.attribution == {"campaign": "spring"}
    assert order.trail == checkout().trail


async def test_one_key_is_one_order_in_a_batch_between_batches_and_at_once(counter: Counter) -> None:
    replies = [answer(reply) for reply in await counter.ask(*(call("key") for _ in range(10)))]
    together = await asyncio.gather(*(counter.ask(call("key")) for _ in range(10)))
    replies += [answer(reply) for [reply] in together]
    assert len({reply.message.SerializeToString() for reply in replies}) == 1
    assert [reply.replayed for reply in replies] == [False] + [True] * 19
    assert await counter.rows(COUNTS) == [(1, 1, 1)]
    assert len(recorded(counter.runtime).take()) == 1


async def test_two_replicas_with_one_key_at_the_same_instant_place_one_order(counter: Counter) -> None:
    replies = await asyncio.gather(*(counter.ask(call("key"), call(f"other {n}")) for n in range(8)))
    assert len({answer(mine).message.id for mine, _ in replies}) == 1
    assert await counter.rows(COUNTS) == [(9, 9, 9)]


async def test_a_key_with_another_body_is_refused_and_the_first_answer_stays(counter: Counter) -> None:
    first, other = await counter.ask(call("key"), call("key", checkout({"tea": 1})))
    assert reason(other) == "IDEMPOTENCY_KEY_REUSED"
    [later] = await counter.ask(call("key", checkout({"tea": 1})))
    assert reason(later) == "IDEMPOTENCY_KEY_REUSED"
    [replayed] = await counter.ask(call("key"))
    assert answer(replayed).message == answer(first).message


async def test_without_redis_postgres_gives_the_same_answer(
    counter: Counter, new_counter: NewCounter
) -> None:
    [first] = await counter.ask(call("key"))
    without = await new_counter(database=counter.database, redis_url="redis://127.0.0.1:9/0")
    [again] = await without.ask(call("key"))
    assert answer(again).replayed
    assert answer(again).message == answer(first).message


async def test_a_replay_is_answered_whatever_prices_are_by_now(counter: Counter) -> None:
    [first] = await counter.ask(call("key"))
    counter.prices["mug"] = Price("Mug", 9_999, "EUR")
    [again] = await counter.ask(call("key"))
    assert answer(again).message == answer(first).message
    del counter.prices["mug"]
    [again] = await counter.ask(call("key"))
    assert answer(again).message == answer(first).message


async def test_a_bad_checkout_is_refused_alone_and_keeps_its_key(counter: Counter) -> None:
    wrong_total = checkout(expected_total_amount=1)
    good, unknown, changed = await counter.ask(
        call("good"), call("unknown", checkout({"unicorn": 1})), call("changed", wrong_total)
    )
    assert (reason(unknown), reason(changed)) == ("UNKNOWN_PRODUCT", "PRICE_CHANGED")
    assert answer(good).message.total_amount == 2_000
    assert await counter.rows(COUNTS) == [(1, 1, 1)]
    counter.prices["unicorn"] = Price("Unicorn", 1, "EUR")
    [later] = await counter.ask(call("unknown", checkout({"unicorn": 1})))
    assert not answer(later).replayed


async def test_more_than_can_be_finished_is_refused_and_replays_are_not(new_counter: NewCounter) -> None:
    counter = await new_counter(max_open_orders=1)
    [first] = await counter.ask(call("key"))
    await counter.count_open_orders()
    replayed, refused = await counter.ask(call("key"), call("new"))
    assert answer(replayed).message == answer(first).message
    assert reason(refused) == "TOO_MANY_OPEN_ORDERS"
    await counter.rows("UPDATE orders SET status = 'FAILED', reason = 'test', ended_at = now() RETURNING id")
    await counter.count_open_orders()
    [accepted] = await counter.ask(call("new"))
    assert not answer(accepted).replayed


@pytest.mark.parametrize("size", [1, 150])
async def test_a_batch_of_any_size_is_answered_in_its_order(counter: Counter, size: int) -> None:
    calls = [call(f"key {n}", checkout({"tea": n + 1})) for n in range(size)]
    replies = await counter.ask(*calls)
    assert [answer(reply).message.total_amount for reply in replies] == [799 * (n + 1) for n in range(size)]
