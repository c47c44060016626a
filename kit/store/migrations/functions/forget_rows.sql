-- Deletes some rows that are older than so many days, of a table without partitions or of the default one;
-- returns how many they were. What another replica is deleting is left to it.
CREATE OR REPLACE FUNCTION forget_rows(wanted text, days integer, most integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET enable_seqscan = off
AS $$
DECLARE
    kept retention;
    forgotten integer;
BEGIN
    SELECT * INTO STRICT kept FROM retention WHERE name = wanted;
    IF days < kept.least_days THEN
        RAISE EXCEPTION '% is kept for % days at least', wanted, kept.least_days;
    END IF;
    EXECUTE format(
        'DELETE FROM %1$I WHERE ctid = ANY (ARRAY('
        ' SELECT ctid FROM %1$I WHERE %2$I < $1 AND NOT (%3$s) ORDER BY %2$I LIMIT $2 FOR UPDATE SKIP LOCKED))',
        wanted || CASE WHEN kept.prefix IS NULL THEN '' ELSE '_default' END, kept.written_at, kept.open)
        USING now() - make_interval(days => days), most;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- It runs with the rights of the tables' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION forget_rows FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION forget_rows TO %I', current_database());
END $$;
