SELECT relname FROM pg_class
WHERE (relname = 'journals' OR relname ~ '^entries_[0-7]$')
    AND NOT coalesce(reloptions::text LIKE '%autovacuum_vacuum_insert_scale_factor=0.02%', false);
