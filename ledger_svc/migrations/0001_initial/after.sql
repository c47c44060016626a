-- The service's role writes nothing by itself, and what was written is guarded even from its owner.
SELECT 'the service may write ' || name
FROM unnest(ARRAY['currencies', 'chart', 'accounts', 'journals', 'entries', 'balance_headers', 'snapshots',
    'seals', 'posting_halts'] || ARRAY(SELECT 'entries_' || part FROM generate_series(0, 7) AS part)) AS name
WHERE has_table_privilege(current_database(), name, 'INSERT, UPDATE, DELETE, TRUNCATE')
    OR has_any_column_privilege(current_database(), name, 'INSERT, UPDATE')
UNION ALL
SELECT relname || ' can be changed' FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND (relname LIKE 'entries%' OR relname IN ('journals', 'snapshots', 'seals'))
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = 'append_only');
