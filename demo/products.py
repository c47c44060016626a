"""What the demo merchant sells: `florin up` and `florin demo` put it on sale, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from client import ApiError, EdgeClient, Product

MERCHANT: Final = "mer_demo"


@dataclass(frozen=True, slots=True)
class Item:
    """One product as it is first put on sale."""

    sku: str
    name: str
    # In minor units of `currency`, tax included.
    unit_amount: int
    currency: str
    stock: int


MUG: Final = Item("mug-enamel", "Enamel mug, 350 ml", 1490, "EUR", 500)
NOTEBOOK: Final = Item("notebook-a5", "Notebook A5, dotted", 1250, "EUR", 500)
LAMP: Final = Item("lamp-brass", "Desk lamp, brass", 8900, "EUR", 120)
HEADPHONES: Final = Item("headphones", "Headphones, closed-back", 24900, "EUR", 60)
TEE: Final = Item("tee-grey", "T-shirt, grey", 2900, "USD", 300)
# A currency without minor units: 1800 is ¥1,800.
TEA: Final = Item("tea-sencha", "Sencha tea, 100 g", 1800, "JPY", 300)
# For those who want to see what happens to the second buyer.
POSTER: Final = Item("poster-1929", "Poster, Barcelona 1929", 3200, "EUR", 1)
SOLD_OUT: Final = Item("vinyl-signed", "Vinyl record, signed", 4500, "EUR", 0)

ITEMS: Final = (MUG, NOTEBOOK, LAMP, HEADPHONES, TEE, TEA, POSTER, SOLD_OUT)


async def put_on_sale(merchant: EdgeClient) -> list[Product]:
    """Puts every item that is not there yet, with its stock; returns all of them.

    Can be repeated at any time: what a merchant has changed since is left alone, and a run that was
    cut off between a product and its stock is completed by the next.
    """
    return [await _put(merchant, item) for item in ITEMS]


async def _put(merchant: EdgeClient, item: Item) -> Product:
    try:
        product = await merchant.get_product(item.sku)
    except ApiError as error:
        if error.reason != "PRODUCT_NOT_FOUND":
            raise
        product = await merchant.put_product(
            item.sku,
            name=item.name,
            unit_amount=item.unit_amount,
            currency=item.currency,
            key=f"catalogue-put-{item.sku}",
        )
    # The version goes up with every change of the stock: at 1 there never was any.
    if product.version > 1 or item.stock == 0:
        return product
    return await merchant.adjust_stock(
        item.sku, delta=item.stock, reason="first delivery", key=f"catalogue-stock-{item.sku}"
    )
