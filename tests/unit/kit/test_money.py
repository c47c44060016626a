"""No division makes or loses a minor unit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from kit.values.money import (
    BASIS_POINTS,
    exponent,
    format_minor,
    included_share,
    known_currencies,
    split_by_largest_remainder,
)

# ISO 4217, list one, of the currencies in use; all others have two.
WITHOUT_DECIMALS = set("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
WITH_THREE_DECIMALS = set("BHD IQD JOD KWD LYD OMR TND".split())

# CLDR writes some with fewer decimals than they are counted in.
WRITTEN_AS_COUNTED = sorted(c for c in known_currencies() if exponent(c) == get_currency_precision(c))

AMOUNTS = st.integers(min_value=0, max_value=99_999_999)
WEIGHTS = st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=30).filter(any)


@given(amount=AMOUNTS, weights=WEIGHTS)
def test_the_parts_add_up_and_none_is_a_whole_unit_off_its_exact_share(
    amount: int, weights: list[int]
) -> None:
    parts = split_by_largest_remainder(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - amount * weight) < sum(weights)
        assert part == 0 or weight > 0


def test_what_is_left_goes_to_those_who_lost_most_and_ties_to_the_earlier() -> None:
    assert split_by_largest_remainder(100, [1, 1, 1]) == [34, 33, 33]
    assert split_by_largest_remainder(10, [1, 5, 4]) == [1, 5, 4]
    assert split_by_largest_remainder(1, [1, 2]) == [0, 1]


@pytest.mark.parametrize(("amount", "weights"), [(-1, [1]), (1, [0]), (1, []), (1, [2, -1])])
def test_nothing_is_divided_by_nothing(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        split_by_largest_remainder(amount, weights)


@given(gross=AMOUNTS, rate_bp=st.integers(min_value=0, max_value=BASIS_POINTS))
def test_included_tax_is_the_nearest_whole_amount_and_at_most_half_of_the_gross(
    gross: int, rate_bp: int
) -> None:
    tax = included_share(gross, rate_bp)
    assert 0 <= tax <= (gross + 1) // 2
    exact = Decimal(gross) * rate_bp / (BASIS_POINTS + rate_bp)
    assert abs(tax - exact) <= Decimal("0.5")


def test_included_tax_of_known_amounts() -> None:
    assert included_share(11_900, 1_900) == 1_900
    assert included_share(1_999, 1_900) == 319
    assert included_share(1_999, 0) == 0


def test_currencies_have_the_decimals_of_iso_4217() -> None:
    decimals = {currency: exponent(currency) for currency in known_currencies()}
    assert {c for c, places in decimals.items() if places == 0} == WITHOUT_DECIMALS
    assert {c for c, places in decimals.items() if places == 3} == WITH_THREE_DECIMALS
    assert set(decimals.values()) == {0, 2, 3}


def test_currencies_are_those_in_use() -> None:
    assert {"EUR", "USD", "JPY", "KWD"} <= known_currencies()
    assert not {"XXX", "DEM", "EURO"} & known_currencies()


@given(amount=st.integers(-(10**15), 10**15), currency=st.sampled_from(WRITTEN_AS_COUNTED))
def test_amounts_for_people_are_formatted_as_babel_does_it(amount: int, currency: str) -> None:
    exact = Decimal(amount).scaleb(-exponent(currency))
    assert format_minor(amount, currency) == format_currency(exact, currency, locale="en")


def test_no_minor_unit_is_left_out_where_people_no_longer_write_them() -> None:
    assert format_minor(123_456, "RSD") == "RSD1,234.56"
