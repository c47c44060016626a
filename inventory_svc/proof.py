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

# By product: what reservations after `after`, or among `ids`, hold or have sold; and whether those are so old
# that none before them is to come. Likewise adjustments after `adjusted_after`, as `RECEIVED`.
UNITS_SINCE: Final = """
SELECT r.merchant_id, l.sku, r.status, r.created_at < now() - make_interval(secs => %(young_s)s) AS is_old,
    sum(l.quantity)::bigint
FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id
WHERE r.id > %(after)s OR r.id = ANY(%(ids)s) GROUP BY 1, 2, 3, 4
UNION ALL
SELECT merchant_id, sku, 'RECEIVED', created_at < now() - make_interval(secs => %(young_s)s),
    sum(delta)::bigint
FROM stock_adjustments WHERE id > %(adjusted_after)s GROUP BY 1, 2, 3, 4
"""
# The last old reservation and adjustment after those, and the old reservations that are still held.
REACHED: Final = """
SELECT
    (SELECT max(id) FROM reservations
        WHERE id > %(after)s AND created_at < now() - make_interval(secs => %(young_s)s)),
    (SELECT max(id) FROM stock_adjustments
        WHERE id > %(adjusted_after)s AND created_at < now() - make_interval(secs => %(young_s)s)),
    (SELECT coalesce(array_agg(id), '{}') FROM reservations WHERE (id > %(after)s OR id = ANY(%(ids)s))
        AND status = 'HELD' AND created_at < now() - make_interval(secs => %(young_s)s))
"""
PRODUCTS: Final = "SELECT merchant_id, sku, on_hand, reserved, sold, received FROM products"

# Products, and units of them: received, free, reserved, sold. `on_hand` is what is in the warehouse, reserved
# units included.
UNITS: Final = """
SELECT count(*), coalesce(sum(received), 0)::bigint, coalesce(sum(on_hand - reserved), 0)::bigint,
    coalesce(sum(reserved), 0)::bigint, coalesce(sum(sold), 0)::bigint FROM products
"""

# Of the orders `ids`: merchant, status and units by product of what each holds or held.
RESERVATIONS_OF_ORDERS: Final = """
SELECT r.order_id, r.merchant_id, r.status,
    jsonb_object_agg(l.sku, l.quantity) FILTER (WHERE l.sku IS NOT NULL)
FROM reservations r LEFT JOIN reservation_lines l ON l.reservation_id = r.id
WHERE r.order_id = ANY(%(ids)s) GROUP BY r.id
"""

# A page of the reservations after `after`: id, order, status, and whether none before it is to come any more.
RESERVATIONS_AFTER: Final = """
SELECT id, order_id, status, created_at < now() - make_interval(secs => %(young_s)s)
FROM reservations WHERE id > %(after)s ORDER BY id LIMIT %(page)s
"""

# Orders whose stock is held for longer than `held_s`, by reservations after `after` or among `ids`.
OLD_HOLDS: Final = """
SELECT order_id FROM reservations WHERE (id > %(after)s OR id = ANY(%(ids)s))
    AND status = 'HELD' AND created_at < now() - make_interval(secs => %(held_s)s)
"""
# Of the same, the last that is so old that none before it is to come, and those up to it that hold. What is
# sold or given back holds nothing again.
HOLDS_REACHED: Final = """
SELECT max(id), coalesce(array_agg(id) FILTER (WHERE status = 'HELD'), '{}')
FROM reservations WHERE (id > %(after)s OR id = ANY(%(ids)s))
    AND created_at < now() - make_interval(secs => %(young_s)s)
"""
