-- What is only added to is looked at once for each fiftieth, so that no vacuum has a year of pages to read, and
-- the planner knows of the newest transactions.
ALTER TABLE journals SET (
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('ALTER TABLE entries_%s SET (autovacuum_vacuum_insert_scale_factor = 0.02,'
            ' autovacuum_analyze_scale_factor = 0.02)', part);
    END LOOP;
END
$$;
