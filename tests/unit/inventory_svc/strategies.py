"""Shops and orders as hypothesis imagines them: few products, so that orders want the same ones."""

from __future__ import annotations

from hypothesis import strategies as st

from inventory_svc.domain.stock import ProductKey, StockLevel

PRODUCTS = [ProductKey("mer_1", sku) for sku in ("mug", "tea", "pot")]
UNKNOWN = ProductKey("mer_1", "unicorn")


@st.composite
def stock_levels(draw: st.DrawFn) -> StockLevel:
    """How much there may be of a product; some of it is held for others."""
    on_hand = draw(st.integers(0, 12))
    return StockLevel(on_hand, draw(st.integers(0, on_hand)), draw(st.integers(1, 9)))


shops = st.fixed_dictionaries({product: stock_levels() for product in PRODUCTS})
lines = st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 5), min_size=1)
lines_of_anything = st.dictionaries(st.sampled_from([*PRODUCTS, UNKNOWN]), st.integers(1, 5), min_size=1)
