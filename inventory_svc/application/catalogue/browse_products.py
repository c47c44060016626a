"""Reading the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inventory_svc.application.ports import Catalogue
from inventory_svc.domain.product import Product, unknown_product
from inventory_svc.domain.stock import ProductKey

# What the contract promises to callers that do not choose.
DEFAULT_PAGE_SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class Page:
    """Products of a merchant, and the sku after which the next page begins; empty if there is none."""

    products: list[Product]
    next_after_sku: str


async def get_product(catalogue: Catalogue, key: ProductKey) -> Product:
    """Return one product; raises `NotFound` if the merchant does not sell it."""
    product = (await catalogue.get([key])).get(key)
    if product is None:
        raise unknown_product(key)
    return product


async def list_products(catalogue: Catalogue, merchant_id: str, *, after_sku: str, page_size: int) -> Page:
    """Return the merchant's products that follow `after_sku`."""
    size = page_size or DEFAULT_PAGE_SIZE
    products = await catalogue.page(merchant_id, after_sku=after_sku, limit=size + 1)
    more = len(products) > size
    products = products[:size]
    return Page(products, products[-1].key.sku if more else "")
