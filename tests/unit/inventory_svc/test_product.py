"""What a product may be, and how a batch of commands is split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_svc.application.rounds import rounds
from inventory_svc.domain.product import AdjustStock, PutProduct
from inventory_svc.domain.stock import ProductKey
from kit.values.errors import InvalidRequest

MUG = ProductKey("mer_1", "mug")


@pytest.mark.parametrize("currency", ["XXX", "ABC", "DEM"])
def test_a_price_needs_a_currency_that_can_be_paid_in(currency: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        PutProduct(MUG, "Mug", 1_000, currency).check()
    assert refusal.value.reason == "CURRENCY_MISMATCH"
    assert refusal.value.fields[0].field == "currency"


@pytest.mark.parametrize(
    "command",
    [
        PutProduct(MUG, "Mug 4242 4242 4242 4242", 1_000, "EUR"),
        AdjustStock(MUG, 1, "refund to 4242-4242-4242-4242"),
    ],
)
def test_what_looks_like_a_card_number_is_refused_and_not_repeated(
    command: PutProduct | AdjustStock,
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        command.check()
    assert refusal.value.reason == "CARD_NUMBER_REFUSED"
    assert "4242" not in refusal.value.message


def test_an_ordinary_product_is_accepted() -> None:
    PutProduct(MUG, "Mug, 0.3 l, EAN 4006381333931", 1_000, "KWD").check()


@given(st.lists(st.sampled_from("abc")))
def test_each_round_names_a_row_once_and_keeps_the_order_of_its_commands(rows: list[str]) -> None:
    split = list(rounds(dict(enumerate(rows)), lambda row: row))
    assert all(len(set(round_.values())) == len(round_) for round_ in split)
    for row in set(rows):
        expected = [index for index, other in enumerate(rows) if other == row]
        assert [index for round_ in split for index, other in round_.items() if other == row] == expected
