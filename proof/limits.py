"""What no row may break: caps of payments, conservation of stock."""

from __future__ import annotations

from typing import Final

from inventory_svc.proof import STOCK_CONSERVED
from proof.audit import PAYMENTS, STOCK, Audit
from proof.verdict import Finding

_BROKEN_CAPS: Final = """
SELECT id, amount, amount_captured, amount_refunded, fee_amount + tax_amount FROM payments
WHERE NOT (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount
    AND fee_amount >= 0 AND tax_amount >= 0 AND fee_amount + tax_amount <= amount)
"""
_PAYMENTS: Final = "SELECT count(*) FROM payments"

# `on_hand` is what is in the warehouse, reserved units included.
_UNITS: Final = """
SELECT count(*), coalesce(sum(received), 0)::bigint, coalesce(sum(on_hand - reserved), 0)::bigint,
    coalesce(sum(reserved), 0)::bigint, coalesce(sum(sold), 0)::bigint FROM products
"""


async def caps_hold(audit: Audit) -> Finding:
    """Refunded <= captured <= authorised, for every payment."""
    problems: dict[str, str] = {}
    for payment_id, amount, captured, refunded, parts in await audit.rows(PAYMENTS, _BROKEN_CAPS):
        problems[payment_id] = (
            f"{payment_id}: {amount} authorised, {captured} captured, {refunded} refunded,"
            f" {parts} fee and tax"
        )
    [(count,)] = await audit.rows(PAYMENTS, _PAYMENTS)
    return Finding(f"{count:,} payments", problems)


async def stock_conserved(audit: Audit) -> Finding:
    """Every unit that was received is free, reserved or sold, and each of those for a reason on record."""
    problems: dict[str, str] = {}
    for row in await audit.rows(STOCK, STOCK_CONSERVED):
        merchant_id, sku, on_hand, reserved, sold, received, held, sold_on_record, adjusted = row
        product = f"{merchant_id}/{sku}"
        problems[product] = (
            f"{product}: received {received}, on hand {on_hand}, reserved {reserved}, sold {sold};"
            f" on record: received {adjusted}, held {held}, sold {sold_on_record}"
        )
    [(products, received, free, reserved, sold)] = await audit.rows(STOCK, _UNITS)
    return Finding(
        f"{products:,} products: {received:,} units = {free:,} free + {reserved:,} reserved + {sold:,} sold",
        problems,
    )
