"""What no row may break: caps of payments, conservation of stock."""

from __future__ import annotations

from typing import Final

from florin_cli.proof.audit import PAYMENTS, STOCK, Audit
from florin_cli.proof.verdict import Finding

_BROKEN_CAPS: Final = """
SELECT id, amount, amount_captured, amount_refunded, fee_amount + tax_amount FROM payments
WHERE NOT (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount
    AND fee_amount >= 0 AND tax_amount >= 0 AND fee_amount + tax_amount <= amount)
"""
_PAYMENTS: Final = "SELECT count(*) FROM payments"

# `on_hand` is what is in the warehouse, reserved units included; so what was received is on hand or sold.
_LOST_UNITS: Final = """
WITH moved AS (
    SELECT r.merchant_id, l.sku,
        coalesce(sum(l.quantity) FILTER (WHERE r.state = 'HELD'), 0) AS held,
        coalesce(sum(l.quantity) FILTER (WHERE r.state = 'COMMITTED'), 0) AS committed
    FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id
    GROUP BY r.merchant_id, l.sku
), adjusted AS (
    SELECT merchant_id, sku, sum(delta) AS received FROM stock_adjustments GROUP BY merchant_id, sku
)
SELECT merchant_id || '/' || sku, p.received, p.on_hand, p.reserved, p.sold,
    coalesce(m.held, 0), coalesce(m.committed, 0), coalesce(a.received, 0)
FROM products p FULL JOIN moved m USING (merchant_id, sku) FULL JOIN adjusted a USING (merchant_id, sku)
WHERE p.received IS DISTINCT FROM p.on_hand + p.sold
    OR NOT (0 <= p.reserved AND p.reserved <= p.on_hand AND p.sold >= 0)
    OR p.reserved IS DISTINCT FROM coalesce(m.held, 0)
    OR p.sold IS DISTINCT FROM coalesce(m.committed, 0)
    OR p.received IS DISTINCT FROM coalesce(a.received, 0)
"""
_UNITS: Final = """
SELECT count(*), coalesce(sum(received), 0)::bigint, coalesce(sum(on_hand - reserved), 0)::bigint,
    coalesce(sum(reserved), 0)::bigint, coalesce(sum(sold), 0)::bigint FROM products
"""


async def caps_hold(audit: Audit) -> Finding:
    """Refunded <= captured <= authorised, for every payment."""
    problems = {
        payment_id: f"{payment_id}: {amount} authorised, {captured} captured, {refunded} refunded,"
        f" {parts} fee and tax"
        for payment_id, amount, captured, refunded, parts in await audit.rows(PAYMENTS, _BROKEN_CAPS)
    }
    [(count,)] = await audit.rows(PAYMENTS, _PAYMENTS)
    return Finding(f"{count:,} payments", problems)


async def stock_conserved(audit: Audit) -> Finding:
    """Every unit that was received is free, reserved or sold, and each of those for a reason on record."""
    problems = {
        product: f"{product}: received {received}, on hand {on_hand}, reserved {reserved}, sold {sold};"
        f" on record: received {adjusted}, held {held}, committed {committed}"
        for product, received, on_hand, reserved, sold, held, committed, adjusted in await audit.rows(
            STOCK, _LOST_UNITS
        )
    }
    [(products, received, free, reserved, sold)] = await audit.rows(STOCK, _UNITS)
    looked_at = (
        f"{products:,} products: {received:,} units = {free:,} free + {reserved:,} reserved + {sold:,} sold"
    )
    return Finding(looked_at, problems)
