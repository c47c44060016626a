SELECT 'the service may delete deliveries'
WHERE has_table_privilege(current_database(), 'deliveries', 'DELETE, TRUNCATE');
