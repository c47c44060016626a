-- What came in or went out stays on record: the service's role may not take these away.
SELECT 'the service may delete dead letters'
WHERE has_table_privilege(current_database(), 'dead_letters', 'DELETE')
UNION ALL
SELECT 'the service may empty ' || name
FROM unnest(ARRAY['outbox', 'inbox', 'dead_letters', 'idempotency_keys']) AS name
WHERE has_table_privilege(current_database(), name, 'TRUNCATE');
