(
    VALUES ('dlv_1', 'ord_1', 'SENT', 1, '', '2025-01-21Z'::timestamptz),
        ('dlv_2', 'ord_2', 'PENDING', 2, '450 busy', NULL)
    EXCEPT SELECT id, order_id, status, attempts, last_error, sent_at FROM deliveries
    WHERE due_at = '2025-01-20Z' AND requested_at = '2025-01-19Z'
) UNION ALL (
    -- Ids that are ours are in the partition of their week.
    SELECT 'dlv_3 is in ' || tableoid::regclass, '', '', 0, '', NULL FROM deliveries
    WHERE id = 'dlv_3' AND tableoid::regclass::text <> 'deliveries_20250116'
) UNION ALL (
    SELECT 'the service may delete deliveries', '', '', 0, '', NULL
    WHERE has_table_privilege(current_database(), 'deliveries', 'DELETE, TRUNCATE')
) UNION ALL (
    SELECT 'deliveries are not kept for a while', '', '', 0, '', NULL
    WHERE NOT EXISTS (SELECT FROM retention WHERE name = 'deliveries')
);
