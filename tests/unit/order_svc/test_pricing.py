"""What a cart costs is decided by the server, to the last minor unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.values.errors import InvalidRequest
from order_svc.domain import tax
from order_svc.domain.pricing import MAX_TOTAL_MINOR, CartLine, Price, quote, require_expected

MUG = Price("Mug", 1_000, "EUR")

carts = st.dictionaries(
    st.sampled_from(["mug", "tea", "pot", "cup"]),
    st.tuples(st.integers(1, 1_000), st.integers(1, 20_000)),
    min_size=1,
)
rates = st.sampled_from([0, *sorted(set(tax.STANDARD_RATES_BP.values()))])


@given(wanted=carts, rate_bp=rates)
def test_lines_add_up_to_the_total_and_their_tax_to_its_tax(
    wanted: dict[str, tuple[int, int]], rate_bp: int
) -> None:
    cart = [CartLine(sku, quantity) for sku, (quantity, _) in wanted.items()]
    prices = {sku: Price(sku, unit_amount, "EUR") for sku, (_, unit_amount) in wanted.items()}
    quoted = quote(cart, prices, currency="EUR", tax_rate_bp=rate_bp)
    assert quoted.total_amount == sum(quantity * unit for quantity, unit in wanted.values())
    assert quoted.total_amount == sum(line.total_amount for line in quoted.lines)
    assert quoted.tax_amount == sum(line.tax_amount for line in quoted.lines)
    assert 0 <= quoted.tax_amount <= quoted.total_amount
    assert quoted.subtotal_amount + quoted.tax_amount == quoted.total_amount
    assert [line.sku for line in quoted.lines] == [line.sku for line in cart]


def test_tax_is_rounded_by_line_so_that_a_receipt_adds_up() -> None:
    cart = [CartLine("a", 1), CartLine("b", 1)]
    prices = {"a": Price("A", 3, "EUR"), "b": Price("B", 3, "EUR")}
    # 19 % of a gross 3 is 0.479, of a gross 6 it is 0.958: by line 0 + 0, in one sum it would be 1.
    assert quote(cart, prices, currency="EUR", tax_rate_bp=1_900).tax_amount == 0


def test_the_largest_total_is_sold_and_one_more_unit_is_not() -> None:
    prices = {"mug": Price("Mug", MAX_TOTAL_MINOR, "EUR"), "tea": Price("Tea", 1, "EUR")}
    largest = quote([CartLine("mug", 1)], prices, currency="EUR", tax_rate_bp=0)
    assert largest.total_amount == MAX_TOTAL_MINOR
    with pytest.raises(InvalidRequest) as refused:
        quote([CartLine("mug", 1), CartLine("tea", 1)], prices, currency="EUR", tax_rate_bp=0)
    assert refused.value.reason == "AMOUNT_OUT_OF_RANGE"
    assert refused.value.metadata == {"total_amount": str(MAX_TOTAL_MINOR + 1)}


def test_what_the_merchant_does_not_sell_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        quote([CartLine("mug", 1), CartLine("unicorn", 1)], {"mug": MUG}, currency="EUR", tax_rate_bp=0)
    assert refused.value.reason == "UNKNOWN_PRODUCT"
    assert refused.value.metadata == {"sku": "unicorn"}


def test_a_product_is_sold_in_its_own_currency_only() -> None:
    with pytest.raises(InvalidRequest) as refused:
        quote([CartLine("mug", 1)], {"mug": MUG}, currency="USD", tax_rate_bp=0)
    assert refused.value.reason == "CURRENCY_MISMATCH"
    assert refused.value.metadata == {"sku": "mug", "product_currency": "EUR"}


@pytest.mark.parametrize("expected", [None, 2_000])
def test_the_total_that_the_buyer_was_shown_is_accepted(expected: int | None) -> None:
    require_expected(quote([CartLine("mug", 2)], {"mug": MUG}, currency="EUR", tax_rate_bp=0), expected)


@pytest.mark.parametrize("expected", [1_999, 2_001, 0])
def test_another_total_than_the_buyer_was_shown_is_refused_with_both(expected: int) -> None:
    quoted = quote([CartLine("mug", 2)], {"mug": MUG}, currency="EUR", tax_rate_bp=0)
    with pytest.raises(InvalidRequest) as refused:
        require_expected(quoted, expected)
    assert refused.value.reason == "PRICE_CHANGED"
    assert refused.value.metadata == {"total_amount": "2000", "expected_total_amount": str(expected)}
