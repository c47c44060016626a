-- Nobody knows any more who has confirmed what waits: each will be noted for all when it is due.
(
    VALUES ('evt_5', timestamptz '2026-01-01 00:00+00'), ('evt_6', timestamptz '2026-01-02 00:00+00')
    EXCEPT SELECT event_id, overdue_at FROM outbox
) UNION ALL
SELECT event_id, owed_since FROM resends
UNION ALL
SELECT 'the service may not settle what it owes', now()
WHERE NOT has_table_privilege(current_database(), 'resends', 'SELECT, INSERT, UPDATE, DELETE')
UNION ALL
SELECT 'the service may empty resends', now()
WHERE has_table_privilege(current_database(), 'resends', 'TRUNCATE');
