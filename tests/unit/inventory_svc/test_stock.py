"""Who gets units when not all can have them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_svc.domain.stock import (
    Lines,
    ProductKey,
    Refusal,
    Refused,
    StockChange,
    StockLevel,
    allot,
    combined,
    give_back,
    hold,
    sell,
    total,
)
from tests.unit.inventory_svc.strategies import UNKNOWN, lines_of_anything, shops

MUG, TEA = ProductKey("mer_1", "mug"), ProductKey("mer_1", "tea")


def level(on_hand: int, reserved: int = 0) -> StockLevel:
    return StockLevel(on_hand, reserved, version=1)


def test_who_comes_first_gets_the_units() -> None:
    assert allot({MUG: level(3)}, [{MUG: 2}, {MUG: 2}, {MUG: 1}]) == [
        None,
        Refused(Refusal.OUT_OF_STOCK, ("mug",)),
        None,
    ]


def test_units_held_for_others_are_not_given_away() -> None:
    assert allot({MUG: level(3, reserved=2)}, [{MUG: 2}]) == [Refused(Refusal.OUT_OF_STOCK, ("mug",))]


def test_an_order_that_misses_one_line_takes_none_of_the_others() -> None:
    short = Refused(Refusal.OUT_OF_STOCK, ("tea",))
    assert allot({MUG: level(1), TEA: level(0)}, [{MUG: 1, TEA: 1}, {MUG: 1}]) == [short, None]


def test_a_product_nobody_sells_is_said_to_be_unknown_even_if_others_are_short() -> None:
    assert allot({MUG: level(0)}, [{MUG: 1, UNKNOWN: 1}]) == [Refused(Refusal.UNKNOWN_PRODUCT, ("unicorn",))]


@pytest.mark.parametrize("nothing", [{}, {MUG: 0}, {MUG: -1}])
def test_an_order_has_to_ask_for_units(nothing: Lines) -> None:
    with pytest.raises(AssertionError):
        allot({MUG: level(1)}, [nothing])


@given(shops, st.lists(lines_of_anything))
def test_no_unit_is_given_away_twice(shop: dict[ProductKey, StockLevel], orders: list[Lines]) -> None:
    decisions = allot(shop, orders)
    served = [order for order, refused in zip(orders, decisions, strict=True) if refused is None]
    assert all(units <= shop[product].available for product, units in total(served).items())


@given(shops, st.lists(lines_of_anything))
def test_an_order_is_refused_only_for_what_is_missing_when_it_comes(
    shop: dict[ProductKey, StockLevel], orders: list[Lines]
) -> None:
    taken: dict[ProductKey, int] = {}
    for order, refused in zip(orders, allot(shop, orders), strict=True):
        missing = {
            product.sku
            for product, units in order.items()
            if product not in shop or units > shop[product].available - taken.get(product, 0)
        }
        if refused is None:
            assert not missing
            taken = total([taken, order])
        else:
            assert refused.skus
            assert set(refused.skus) <= missing


@given(shops, st.lists(lines_of_anything))
def test_deciding_one_by_one_gives_the_same_as_deciding_together(
    shop: dict[ProductKey, StockLevel], orders: list[Lines]
) -> None:
    together = allot(shop, orders)
    left = dict(shop)
    one_by_one = []
    for order in orders:
        decision = allot(left, [order])[0]
        one_by_one.append(decision)
        for product, units in order.items() if decision is None else ():
            left[product] = replace(left[product], reserved=left[product].reserved + units)
    assert one_by_one == together


def test_a_hold_is_guarded_by_the_version_it_was_decided_on() -> None:
    levels = {MUG: StockLevel(5, 0, version=7)}
    assert hold(levels, [{MUG: 1}, {MUG: 2}]) == [StockChange(MUG, reserved=3, expected_version=7)]


def test_a_sale_takes_the_units_out_of_the_warehouse_and_out_of_the_hold() -> None:
    assert sell([{MUG: 2}]) == [StockChange(MUG, on_hand=-2, reserved=-2, sold=2)]


def test_holding_and_giving_back_changes_nothing() -> None:
    there_and_back = combined([*hold({MUG: level(5)}, [{MUG: 2}]), *give_back([{MUG: 2}])])
    assert there_and_back == [StockChange(MUG, expected_version=1)]


def test_each_product_changes_once_and_in_one_order_for_all_writers() -> None:
    changes = combined([*sell([{TEA: 1, MUG: 1}]), *sell([{MUG: 2}])])
    assert [(change.product, change.sold) for change in changes] == [(MUG, 3), (TEA, 1)]


def test_decisions_on_different_versions_do_not_mix() -> None:
    with pytest.raises(AssertionError, match="different versions"):
        combined([StockChange(MUG, reserved=1, expected_version=1), StockChange(MUG, expected_version=2)])
