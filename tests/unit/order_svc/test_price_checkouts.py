"""A batch of carts is priced with one look at the catalogue and one at what it said."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, Sequence
from dataclasses import replace

from kit.values.trail import Trail
from order_svc.application.checkout.place_orders import Checkout, price_checkouts
from order_svc.domain.pricing import CartLine, Price, Quote

CHECKOUT = Checkout("mer_1", "cus_1", (CartLine("mug", 2),), "EUR", "pm_1", None, {}, {}, "", Trail("cor_1"))


class Prices(dict[tuple[str, str], Price]):
    """Prices that note how often all of them were gone through."""

    looks = 0

    def items(self) -> ItemsView[tuple[str, str], Price]:  # type: ignore[override]  # a view is enough
        self.looks += 1
        return ItemsView(self)


async def test_each_cart_is_priced_by_its_own_merchant_and_all_prices_are_gone_through_once() -> None:
    prices = Prices(
        {(f"mer_{n}", "mug"): Price("Mug", 100 * n, "EUR") for n in range(1, 51)},
    )

    async def catalogue(keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
        return prices

    carts = [replace(CHECKOUT, merchant_id=f"mer_{n}") for n in range(1, 51)]
    priced = await price_checkouts(catalogue, carts)
    totals = [each.outcome.total_amount for each in priced if isinstance(each.outcome, Quote)]
    assert totals == [200 * n for n in range(1, 51)]
    assert prices.looks == 1
