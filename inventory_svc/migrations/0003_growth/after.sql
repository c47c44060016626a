SELECT relname FROM pg_class
WHERE relname IN ('reservations', 'reservation_lines')
    AND NOT coalesce(reloptions::text LIKE '%autovacuum_vacuum_insert_scale_factor=0.02%', false)
UNION ALL
SELECT 'reservations have no more room for their second version' FROM pg_class
WHERE relname = 'reservations' AND NOT reloptions::text LIKE '%fillfactor=60%';
