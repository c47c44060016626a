-- Drops the partitions of a table whose ids are all older than so many days; returns how many they were.
-- A row that was written later than its id says, or that is still open, goes to the default partition first.
-- All of the table is locked for that moment; if it cannot be within half a second, the next call does it.
CREATE OR REPLACE FUNCTION drop_partitions(wanted text, days integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '500ms'
SET enable_seqscan = off
AS $$
DECLARE
    kept retention;
    since constant timestamptz := now() - make_interval(days => days);
    old regclass;
    dropped integer := 0;
BEGIN
    SELECT * INTO STRICT kept FROM retention WHERE name = wanted;
    IF days < kept.least_days THEN
        RAISE EXCEPTION '% is kept for % days at least', wanted, kept.least_days;
    ELSIF kept.prefix IS NULL OR NOT pg_try_advisory_xact_lock(hashtextextended('florin.retention', 0)) THEN
        RETURN 0;  -- It has no partitions, or another replica is at it.
    END IF;
    FOR old IN
        SELECT part FROM partitions_of(wanted)
        WHERE end_id COLLATE "C" <= id_at(kept.prefix, since) ORDER BY end_id COLLATE "C"
    LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %s', wanted, old);
        EXECUTE format(
            'INSERT INTO %I SELECT * FROM %s WHERE %I >= $1 OR (%s)', wanted, old, kept.written_at, kept.open)
            USING since;
        EXECUTE format('DROP TABLE %s', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- It runs with the rights of the tables' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION drop_partitions FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION drop_partitions TO %I', current_database());
END $$;
