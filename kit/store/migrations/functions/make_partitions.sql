-- Makes partitions of the coming time of one table, so many at most, and returns how many were missing of them.
-- Any number of replicas may call it.
-- If nobody did for longer than it looks ahead, rows are in the default partition; those of the time to come
-- are made all the same, and what is in the default one goes when it is old.
CREATE OR REPLACE FUNCTION make_partitions(wanted text, most integer) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    length interval;
    since timestamptz;
    made integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('florin.retention', 0)) THEN
        RETURN 0;  -- Another replica is at it.
    END IF;
    SELECT make_interval(days => partition_days) INTO STRICT length FROM retention
        WHERE name = wanted AND partition_days IS NOT NULL;
    since := date_bin(length, now(), timestamptz 'epoch');
    -- A week is longer than it takes somebody to notice that this is not done.
    WHILE made < most AND since <= now() + greatest(length, interval '7 days') LOOP
        made := made + make_partition(wanted, since, since + length)::integer;
        since := since + length;
    END LOOP;
    RETURN made;
END
$$;

-- It runs with the rights of the tables' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION make_partitions FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION make_partitions TO %I', current_database());
END $$;
