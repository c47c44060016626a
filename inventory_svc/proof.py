"""What an auditor asks the stock's database: what is wrong in it, and facts to compare others with.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from typing import Final

# Products that differ from their reservations or their adjustments, and either of those without a product.
WRONG_STOCK: Final = """
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

# Products, and units of them: received, free, reserved, sold. `on_hand` is what is in the warehouse, reserved
# units included.
UNITS: Final = """
SELECT count(*), coalesce(sum(received), 0)::bigint, coalesce(sum(on_hand - reserved), 0)::bigint,
    coalesce(sum(reserved), 0)::bigint, coalesce(sum(sold), 0)::bigint FROM products
"""

# Orders whose stock is held or sold, and which of the two.
TAKEN_STOCK: Final = "SELECT order_id, status FROM reservations WHERE status IN ('HELD', 'SOLD')"

# Orders whose stock is held for longer than `held_s`.
OLD_HOLDS: Final = """
SELECT order_id FROM reservations
WHERE status = 'HELD' AND created_at < now() - make_interval(secs => %(held_s)s)
"""
