"""What the other services report leads an order to its end, and the end is told once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from florin.common.v1.charge_pb2 import NextAction
from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed, PaymentRequiresAction
from google.protobuf.message import Message

from kit.values.clock import system_clock
from order_svc.application.checkout.place_orders import charge_of, stock_lines_of
from order_svc.application.ports import OrderFilter
from order_svc.domain.order import Status
from tests.integration.order_svc.conftest import Counter
from tests.support.service import envelope_of, recorded


def sale(order_id: str) -> list[Message]:
    """Return what is told of an order that goes well."""
    return [
        StockReserved(order_id=order_id, reservation_id="rsv_1"),
        PaymentCaptured(order_id=order_id, payment_id="pay_1", amount=2_000, currency="EUR"),
        posted(order_id),
        StockSold(order_id=order_id, reservation_id="rsv_1"),
    ]


def posted(order_id: str, kind: str = "payment.captured") -> JournalPosted:
    """Return the event that the books know of an order's money."""
    return JournalPosted(order_id=order_id, payment_id="pay_1", journal_id="jrn_1", kind=kind)


def challenge(order_id: str) -> PaymentRequiresAction:
    """Return the event that the buyer has to act."""
    action = NextAction(type="redirect_to_url", redirect_url="https://bank.example/1")
    return PaymentRequiresAction(order_id=order_id, payment_id="pay_1", next_action=action)


async def test_money_booked_and_goods_sold_complete_an_order(counter: Counter) -> None:
    order_id = await counter.place()
    reserved, captured, in_the_books, sold = sale(order_id)
    await counter.given(reserved, captured)
    await counter.when(in_the_books)
    counter.then_nothing()
    await counter.when(sold)
    order = await counter.order(order_id)
    counter.then(
        OrderCompleted(
            order_id=order_id,
            version=2,
            payment_id="pay_1",
            charge=charge_of(order),
            lines=stock_lines_of(order),
        )
    )
    assert (order.status, order.payment_id, order.journal_id) == (Status.COMPLETED, "pay_1", "jrn_1")
    assert order.ended_at is not None


async def test_a_journal_of_another_kind_is_noted_and_moves_nothing(counter: Counter) -> None:
    order_id = await counter.place()
    await counter.given(StockSold(order_id=order_id), posted(order_id, kind="settlement"))
    assert (await counter.order(order_id)).status is Status.PROCESSING
    assert (await counter.steps(order_id))[-1] == "journal.posted"


async def test_a_journal_that_is_about_no_order_is_nobodys_problem(counter: Counter) -> None:
    order_id = await counter.place()
    await counter.when(posted("", kind="payout"), *sale(order_id))
    assert (await counter.order(order_id)).status is Status.COMPLETED
    assert await counter.rows("SELECT * FROM dead_letters") == []
    assert await counter.rows("SELECT * FROM timeline WHERE order_id = ''") == []


@pytest.mark.parametrize(
    "lost", [PaymentCaptured(payment_id="pay_1"), posted("")], ids=["capture", "journal"]
)
async def test_money_that_has_lost_its_order_is_not_passed_over(counter: Counter, lost: Message) -> None:
    await counter.when_given_up(envelope_of(lost))
    [(error,)] = await counter.rows("SELECT error FROM dead_letters")
    assert "there is no order" in error


@pytest.mark.parametrize("seed", range(4))
async def test_a_whole_sale_in_one_batch_in_any_order_completes_it_once(counter: Counter, seed: int) -> None:
    order_id = await counter.place()
    events = sale(order_id)
    said = await counter.when(*(events[seed:] + events[:seed]), *events)
    assert [type(message) for message in said] == [OrderCompleted]


async def test_a_batch_moves_each_of_its_orders(counter: Counter) -> None:
    sold, declined, short, waiting = [await counter.place() for _ in range(4)]
    said = await counter.when(
        *sale(sold),
        PaymentFailed(order_id=declined, payment_id="pay_2", reason="card_declined"),
        StockRejected(order_id=short, reason="out_of_stock", skus=["mug"]),
        challenge(waiting),
    )
    assert [(type(message), getattr(message, "order_id", "")) for message in said] == [
        (OrderCompleted, sold),
        (OrderFailed, declined),
        (OrderFailed, short),
    ]
    assert (await counter.order(declined)).reason == "card_declined"
    assert (await counter.order(short)).reason == "out_of_stock"
    assert (await counter.order(waiting)).next_action_url == "https://bank.example/1"
    assert {order.id for order in counter.told} >= {sold, declined, short, waiting}


async def test_a_buyer_who_acts_goes_on_to_a_completed_order(counter: Counter) -> None:
    order_id = await counter.place()
    await counter.given(challenge(order_id))
    assert (await counter.order(order_id)).status is Status.REQUIRES_ACTION
    said = await counter.when(*sale(order_id))
    assert [type(message) for message in said] == [OrderCompleted]
    order = await counter.order(order_id)
    assert (order.status, order.next_action_url) == (Status.COMPLETED, "")


async def test_an_order_that_has_ended_hears_the_rest_in_silence(counter: Counter) -> None:
    order_id = await counter.place()
    failure = PaymentFailed(order_id=order_id, payment_id="pay_1", reason="card_declined")
    await counter.given(failure)
    ended = await counter.order(order_id)
    await counter.when(StockReleased(order_id=order_id, reason="card_declined"), challenge(order_id), failure)
    counter.then_nothing()
    assert await counter.order(order_id) == ended


async def test_an_event_of_no_order_fails_alone_and_is_sent_again(counter: Counter) -> None:
    order_id = await counter.place()
    stray = envelope_of(PaymentCaptured(order_id="ord_unknown", payment_id="pay_9"))
    said = await counter.when(stray, *sale(order_id))
    assert [type(message) for message in said] == [OrderCompleted]
    confirmed = {i for _, _, event_ids in recorded(counter.runtime).confirmed for i in event_ids}
    assert stray.id not in confirmed


async def test_money_for_an_order_that_failed_is_kept_for_a_person(counter: Counter) -> None:
    order_id = await counter.place()
    await counter.given(StockRejected(order_id=order_id, reason="out_of_stock", skus=["mug"]))
    late = envelope_of(PaymentCaptured(order_id=order_id, payment_id="pay_1"))
    await counter.when_given_up(late)
    counter.then_nothing()
    [(about, error)] = await counter.rows("SELECT aggregate, error FROM dead_letters")
    assert about == f"order/{order_id}"
    assert "FAILED" in error
    assert (await counter.order(order_id)).status is Status.FAILED


async def test_two_replicas_with_half_the_sale_each_complete_it_once(counter: Counter) -> None:
    order_ids = [await counter.place() for _ in range(20)]
    await asyncio.gather(
        *(counter.when(posted(o)) for o in order_ids),
        *(counter.when(StockSold(order_id=o)) for o in order_ids),
    )
    assert await counter.rows("SELECT DISTINCT status, version FROM orders") == [("COMPLETED", 2)]
    assert await counter.rows("SELECT count(*) FROM outbox WHERE type = 'order.completed'") == [(20,)]


# Reading


async def test_a_timeline_tells_the_way_of_one_order(counter: Counter) -> None:
    order_id, other = await counter.place(), await counter.place()
    for event in sale(order_id):
        await counter.given(event)
    await counter.given(challenge(other))
    steps = await counter.reader.timeline(order_id)
    assert [(step.service, step.step) for step in steps] == [
        ("order_svc", "order.placed"),
        ("inventory_svc", "stock.reserved"),
        ("payment_svc", "payment.captured"),
        ("ledger_svc", "journal.posted"),
        ("inventory_svc", "stock.sold"),
        ("order_svc", "order.completed"),
    ]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert "pay_1 took 2000 EUR" in steps[2].detail
    assert await counter.steps(other) == ["order.placed", "payment.requires_action"]


async def test_an_event_that_comes_twice_is_one_step(counter: Counter) -> None:
    order_id = await counter.place()
    event = envelope_of(StockReserved(order_id=order_id, reservation_id="rsv_1"))
    await counter.given(event, event)
    await counter.given(event)
    assert await counter.steps(order_id) == ["order.placed", "stock.reserved"]


async def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(counter: Counter) -> None:
    order_ids = [await counter.place() for _ in range(7)]
    everything = sorted(order_ids, reverse=True)
    seen: list[str] = []
    while page := await counter.reader.page(
        OrderFilter(customer_id="cus_1"), before_id=seen[-1] if seen else "", size=3
    ):
        seen += [order.id for order in page]
    assert seen == everything


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (OrderFilter(), 3),
        (OrderFilter(merchant_id="mer_1"), 3),
        (OrderFilter(merchant_id="mer_2"), 0),
        (OrderFilter(customer_id="cus_2"), 0),
        (OrderFilter(status=Status.FAILED), 1),
        (OrderFilter(customer_id="cus_1", status=Status.PROCESSING), 2),
    ],
)
async def test_a_filter_shows_what_it_names(counter: Counter, wanted: OrderFilter, count: int) -> None:
    failing, *_ = [await counter.place() for _ in range(3)]
    await counter.given(StockRejected(order_id=failing, reason="out_of_stock", skus=["mug"]))
    assert len(await counter.reader.page(wanted, before_id="", size=10)) == count
    now = system_clock()
    assert await counter.reader.count_open(now - timedelta(minutes=1), 10) == 2
    assert await counter.reader.count_open(now - timedelta(minutes=1), 1) == 1, (
        "more is not wanted to be known"
    )
    assert await counter.reader.count_open(now, 10) == 0, "older ones wait for somebody else"
