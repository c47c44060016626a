-- Makes the partitions of the coming time and returns how many were missing. Any number of replicas may call it.
-- If nobody did for longer than it looks ahead, rows are in the default partitions; those of the time to come
-- are made all the same, and what is in the default ones goes when it is old.
CREATE OR REPLACE FUNCTION make_partitions() RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    kept retention;
    length interval;
    since timestamptz;
    made integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('florin.retention', 0)) THEN
        RETURN 0;  -- Another replica is at it.
    END IF;
    FOR kept IN SELECT * FROM retention WHERE partition_days IS NOT NULL ORDER BY name LOOP
        length := make_interval(days => kept.partition_days);
        since := date_bin(length, now(), timestamptz 'epoch');
        -- A week is longer than it takes somebody to notice that this is not done.
        WHILE since <= now() + greatest(length, interval '7 days') LOOP
            made := made + make_partition(kept.name, since, since + length)::integer;
            since := since + length;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- It runs with the rights of the tables' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION make_partitions FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION make_partitions TO %I', current_database());
END $$;
