"""Reasons for which the inventory service refuses."""

from __future__ import annotations

from typing import Final

from kit.values.errors import IllegalMove, NotFound, Reason

PRODUCT_NOT_FOUND: Final = Reason(
    "PRODUCT_NOT_FOUND", NotFound, "The merchant has no such product.", "Check the sku."
)

STOCK_TOO_LOW: Final = Reason(
    "STOCK_TOO_LOW",
    IllegalMove,
    "Fewer units are free than are to be removed.",
    "Remove fewer; reserved units cannot be removed.",
)

REASONS: Final = (PRODUCT_NOT_FOUND, STOCK_TOO_LOW)
