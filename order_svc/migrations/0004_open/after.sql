SELECT 'orders that have not ended are found by reading all of them'
WHERE coalesce(pg_get_indexdef(to_regclass('orders_open')), '') NOT LIKE '%(created_at) WHERE (ended_at IS NULL)'
UNION ALL
SELECT 'the order is gone' WHERE NOT EXISTS (SELECT FROM orders WHERE id = 'ord_1');
