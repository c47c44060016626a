"""What an auditor asks this service's database: each query returns what is wrong, so no rows is the proof."""

from __future__ import annotations

from typing import Final

# Every product against its reservations and its adjustments, and those against the products.
STOCK_CONSERVED: Final = """
WITH lines AS (
    SELECT r.merchant_id, l.sku,
        sum(l.quantity) FILTER (WHERE r.status = 'HELD') AS held,
        sum(l.quantity) FILTER (WHERE r.status = 'SOLD') AS sold_on_record
    FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id
    GROUP BY r.merchant_id, l.sku
), adjusted AS (
    SELECT merchant_id, sku, sum(delta) AS received FROM stock_adjustments GROUP BY merchant_id, sku
)
SELECT merchant_id, sku, p.on_hand, p.reserved, p.sold, p.received,
    coalesce(lines.held, 0) AS held,
    coalesce(lines.sold_on_record, 0) AS sold_on_record,
    coalesce(adjusted.received, 0) AS adjusted
FROM products p FULL JOIN lines USING (merchant_id, sku) FULL JOIN adjusted USING (merchant_id, sku)
WHERE p.received IS DISTINCT FROM p.on_hand + p.sold
    OR p.reserved NOT BETWEEN 0 AND p.on_hand
    OR p.reserved IS DISTINCT FROM coalesce(lines.held, 0)
    OR p.sold IS DISTINCT FROM coalesce(lines.sold_on_record, 0)
    OR p.received IS DISTINCT FROM coalesce(adjusted.received, 0)
ORDER BY merchant_id, sku
"""

# Holds whose payment should have ended long ago.
STUCK_RESERVATIONS: Final = """
SELECT order_id, id, created_at, expires_at FROM reservations
WHERE status = 'HELD' AND expires_at < now()
ORDER BY expires_at
"""
