-- The service's role can neither make anything disappear nor rewrite what was written to a log.
SELECT 'the service may delete from ' || name
FROM unnest(ARRAY['products', 'stock_adjustments', 'reservations', 'reservation_lines']) AS name
WHERE has_table_privilege(current_database(), name, 'DELETE, TRUNCATE')
UNION ALL
SELECT 'the service may rewrite ' || name FROM unnest(ARRAY['stock_adjustments', 'reservation_lines']) AS name
WHERE has_any_column_privilege(current_database(), name, 'UPDATE');
