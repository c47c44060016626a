"""What an event belongs to: its text, and the shard that keeps its events in order."""

from __future__ import annotations

import pytest
from florin.order.v1.order_events_pb2 import OrderPlaced

from kit.messaging.events import SHARDS, Aggregate, event_type


@pytest.mark.parametrize(
    ("text", "aggregate"),
    [
        ("order/ord_1", Aggregate("order", "ord_1")),
        ("stock/mer_1/mug", Aggregate("stock", "mer_1/mug")),
        ("ord_1", Aggregate("", "ord_1")),
        ("", Aggregate("", "")),
    ],
)
def test_an_aggregate_is_what_its_text_says(text: str, aggregate: Aggregate) -> None:
    assert Aggregate.parse(text) == aggregate
    assert str(aggregate) == text


def test_an_order_keeps_its_shard_whether_or_not_its_sender_says_that_it_is_one() -> None:
    """Services of two versions send the events of one order while they are exchanged."""
    orders = [Aggregate("order", f"ord_{n}") for n in range(1_000)]
    assert {order.shard for order in orders} == set(range(SHARDS))
    assert all(order.shard == Aggregate.parse(order.id).shard for order in orders)
    assert event_type(OrderPlaced).subject(Aggregate("order", "ord_1")) == "florin.order.order_placed.11"
