"""Carts are priced together, and refused one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kit.values.errors import Unavailable
from kit.values.reasons import SERVICE_UNAVAILABLE
from kit.values.trail import Trail
from order_svc.application.checkout.place_orders import Checkout, price_checkouts
from order_svc.domain.pricing import CartLine, Price, Quote

KNOWN = {("mer_1", "mug"): Price("Mug", 1_000, "EUR")}


def checkout_of(sku: str) -> Checkout:
    return Checkout(
        merchant_id="mer_1",
        customer_id="cus_1",
        cart=(CartLine(sku, 1),),
        currency="EUR",
        payment_method_id="pm_card_visa",
        expected_total_amount=None,
        shipping_address={},
        attribution={},
        receipt_email="",
        trail=Trail("cor_1"),
    )


async def while_nobody_answers(keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Price]:
    if not set(keys) <= set(KNOWN):
        raise Unavailable(SERVICE_UNAVAILABLE, "prices cannot be looked up now")
    return KNOWN


async def test_a_cart_that_cannot_be_priced_now_takes_no_other_with_it() -> None:
    mug, tea, other_mug = await price_checkouts(
        while_nobody_answers, [checkout_of("mug"), checkout_of("tea"), checkout_of("mug")]
    )
    assert isinstance(mug.outcome, Quote)
    assert isinstance(tea.outcome, Unavailable)
    assert isinstance(other_mug.outcome, Quote)
