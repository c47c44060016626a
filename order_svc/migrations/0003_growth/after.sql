(
    VALUES ('', 'order.placed', 'a3ce929d0e0e47364bf92f3577b34da6'::uuid),
        ('evt_1', 'stock.reserved', NULL),
        (':2', 'order.failed', NULL)
    EXCEPT SELECT event, step, trace_id FROM timeline WHERE order_id = 'ord_1' AND at = '2025-01-19Z'
) UNION ALL (
    -- Ids that are ours are in the partition of their week.
    SELECT 'ord_01JHXXQX… is in ' || tableoid::regclass, '', NULL FROM timeline
    WHERE order_id = 'ord_01JHXXQX000000000000000000' AND tableoid::regclass::text <> 'timeline_20250116'
) UNION ALL (
    SELECT 'the service may rewrite a timeline', '', NULL
    WHERE has_table_privilege(current_database(), 'timeline', 'UPDATE, DELETE, TRUNCATE')
) UNION ALL (
    SELECT 'the service may not read and write its timeline', '', NULL
    WHERE NOT has_table_privilege(current_database(), 'timeline', 'SELECT')
        OR NOT has_table_privilege(current_database(), 'timeline', 'INSERT')
);
