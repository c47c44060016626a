-- The service's role can neither make an order disappear nor rewrite what happened to one.
SELECT 'the service may delete from ' || name FROM unnest(ARRAY['orders', 'timeline']) AS name
WHERE has_table_privilege(current_database(), name, 'DELETE, TRUNCATE')
UNION ALL
SELECT 'the service may rewrite a timeline'
WHERE has_any_column_privilege(current_database(), 'timeline', 'UPDATE');
