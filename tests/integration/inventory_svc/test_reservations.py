"""What orders and payments do to the stock."""

from __future__ import annotations

from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from inventory_svc import proof
from inventory_svc.domain.product import AdjustStock
from tests.integration.inventory_svc.conftest import Shop, charge_of, key_of, placed
from tests.support.service import envelope_of, recorded


async def test_an_order_holds_every_line_and_hands_its_charge_on(shop: Shop) -> None:
    await shop.sells(mug=5, tea=3)
    await shop.when(placed("ord_1", mug=2, tea=3))
    held = await shop.reservation_id("ord_1")
    shop.then(
        StockReserved(order_id="ord_1", reservation_id=held, version=1, charge=charge_of("ord_1")),
    )
    assert await shop.stock("mug") == (5, 2, 0)
    assert await shop.stock("tea") == (3, 3, 0)
    await shop.every_unit_is_accounted_for()


async def test_an_order_that_misses_one_line_holds_none(shop: Shop) -> None:
    await shop.sells(mug=5, tea=0)
    await shop.when(placed("ord_1", mug=2, tea=1))
    shop.then(StockRejected(order_id="ord_1", reason="out_of_stock", skus=["tea"]))
    assert await shop.stock("mug") == (5, 0, 0)


async def test_an_order_for_what_nobody_sells_is_rejected(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.when(placed("ord_1", mug=1, unicorn=1))
    shop.then(StockRejected(order_id="ord_1", reason="unknown_product", skus=["unicorn"]))


async def test_orders_of_one_batch_are_served_as_they_came(shop: Shop) -> None:
    await shop.sells(mug=3)
    said = await shop.when(placed("ord_1", mug=2), placed("ord_2", mug=2), placed("ord_3", mug=1))
    assert [type(event) for event in said] == [StockReserved, StockRejected, StockReserved]
    assert await shop.stock("mug") == (3, 3, 0)
    await shop.every_unit_is_accounted_for()


async def test_lines_of_one_product_count_together(shop: Shop) -> None:
    await shop.sells(mug=3)
    twice = placed("ord_1", mug=2)
    twice.lines.extend(placed("ord_1", mug=2).lines)
    await shop.when(twice)
    shop.then(StockRejected(order_id="ord_1", reason="out_of_stock", skus=["mug"]))


async def test_an_order_that_is_placed_again_keeps_what_it_has(shop: Shop) -> None:
    await shop.sells(mug=3)
    await shop.given(placed("ord_1", mug=2))
    await shop.when(placed("ord_1", mug=1))
    shop.then_nothing()
    assert await shop.stock("mug") == (3, 2, 0)


async def test_an_order_that_is_placed_twice_in_one_batch_holds_once(shop: Shop) -> None:
    await shop.sells(mug=9)
    said = await shop.when(placed("ord_1", mug=2), placed("ord_1", mug=2))
    assert [type(event) for event in said] == [StockReserved]
    assert await shop.stock("mug") == (9, 2, 0)


async def test_an_event_that_is_delivered_again_has_no_second_effect(shop: Shop) -> None:
    await shop.sells(mug=9)
    event = envelope_of(placed("ord_1", mug=2))
    await shop.given(event)
    await shop.when(event)
    shop.then_nothing()
    assert len(recorded(shop.runtime).confirmed) == 2


async def test_a_captured_payment_sells_what_was_held(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.given(placed("ord_1", mug=2), placed("ord_2", mug=1))
    await shop.when(PaymentCaptured(order_id="ord_1"))
    held = await shop.reservation_id("ord_1")
    shop.then(StockSold(order_id="ord_1", reservation_id=held, version=2))
    assert await shop.stock("mug") == (3, 1, 2)
    await shop.every_unit_is_accounted_for()


async def test_a_second_capture_sells_nothing_more(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.given(placed("ord_1", mug=2), PaymentCaptured(order_id="ord_1"))
    await shop.when(PaymentCaptured(order_id="ord_1"), PaymentCaptured(order_id="ord_1"))
    shop.then_nothing()
    assert await shop.stock("mug") == (3, 0, 2)


async def test_a_failed_payment_gives_the_units_back(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.given(placed("ord_1", mug=2))
    await shop.when(PaymentFailed(order_id="ord_1", reason="card_declined"))
    held = await shop.reservation_id("ord_1")
    shop.then(StockReleased(order_id="ord_1", reservation_id=held, version=2, reason="card_declined"))
    assert await shop.stock("mug") == (5, 0, 0)
    await shop.every_unit_is_accounted_for()


async def test_a_second_failure_gives_nothing_more_back(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.given(placed("ord_1", mug=2), placed("ord_2", mug=2), PaymentFailed(order_id="ord_1"))
    await shop.when(PaymentFailed(order_id="ord_1"), PaymentFailed(order_id="ord_1"))
    shop.then_nothing()
    assert await shop.stock("mug") == (5, 2, 0)


async def test_late_money_gets_the_units_again_if_they_are_still_there(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=2), PaymentFailed(order_id="ord_1"))
    await shop.when(PaymentCaptured(order_id="ord_1"))
    held = await shop.reservation_id("ord_1")
    shop.then(StockSold(order_id="ord_1", reservation_id=held, version=3))
    assert await shop.stock("mug") == (0, 0, 2)
    await shop.every_unit_is_accounted_for()


async def test_late_money_and_money_in_time_for_one_product_in_one_batch(shop: Shop) -> None:
    await shop.sells(mug=5)
    await shop.given(placed("ord_1", mug=2), placed("ord_2", mug=3), PaymentFailed(order_id="ord_1"))
    await shop.when(PaymentCaptured(order_id="ord_1"), PaymentCaptured(order_id="ord_2"))
    assert await shop.stock("mug") == (0, 0, 5)
    await shop.every_unit_is_accounted_for()


async def test_late_money_waits_for_new_stock_and_harms_nobody_meanwhile(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=2), PaymentFailed(order_id="ord_1"))
    await shop.given(placed("ord_2", mug=1))
    late = envelope_of(PaymentCaptured(order_id="ord_1"))
    said = await shop.when(late, PaymentCaptured(order_id="ord_2"))
    assert [event.order_id for event in said if isinstance(event, StockSold)] == ["ord_2"]
    confirmed = {event_id for _, _, event_ids in recorded(shop.runtime).confirmed for event_id in event_ids}
    assert late.id not in confirmed, "it has to be sent again"

    await shop.adjust(AdjustStock(key_of("mug"), 1, "delivery"))
    said = await shop.when(late)
    assert [type(event) for event in said] == [StockSold]
    await shop.every_unit_is_accounted_for()


async def test_late_money_for_units_that_are_gone_becomes_a_dead_letter(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=2), PaymentFailed(order_id="ord_1"))
    await shop.given(placed("ord_2", mug=1))
    await shop.when_given_up(envelope_of(PaymentCaptured(order_id="ord_1")))
    shop.then_nothing()
    [(about, error)] = await shop.rows("SELECT aggregate, error FROM dead_letters")
    assert about == "order/ord_1"
    assert "paid after its stock was given back" in error
    assert await shop.stock("mug") == (2, 1, 0)


async def test_a_failure_after_the_sale_releases_nothing_and_is_kept_for_a_person(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=2), PaymentCaptured(order_id="ord_1"))
    await shop.when_given_up(envelope_of(PaymentFailed(order_id="ord_1")))
    shop.then_nothing()
    [(error,)] = await shop.rows("SELECT error FROM dead_letters")
    assert "SOLD" in error
    assert "RELEASED" in error
    assert await shop.stock("mug") == (0, 0, 2)


async def test_a_bad_event_fails_alone(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=1))
    said = await shop.when(PaymentCaptured(order_id="ord_unknown"), PaymentCaptured(order_id="ord_1"))
    assert [type(event) for event in said] == [StockSold]


async def test_a_hold_without_an_end_is_seen_by_the_proof(shop: Shop) -> None:
    await shop.sells(mug=2)
    await shop.given(placed("ord_1", mug=1), placed("ord_2", mug=1), PaymentCaptured(order_id="ord_2"))
    everything = {"after": "''", "ids": "'{}'"}
    assert await shop.rows(proof.OLD_HOLDS % (everything | {"held_s": 30})) == []
    assert await shop.rows(proof.OLD_HOLDS % (everything | {"held_s": 0})) == [("ord_1",)]
