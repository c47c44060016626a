-- Makes one partition, like the default one in all but its bounds; returns false if there is none to be made,
-- because one of that time is there, or because rows of it have come to the default partition: they stay there.
-- The table itself can be read and written meanwhile, only the default partition is locked for a moment.
CREATE OR REPLACE FUNCTION make_partition(wanted text, since timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '500ms'
AS $$
DECLARE
    kept retention;
    low text;
    high text;
    part text := format('%s_%s', wanted, to_char(since, 'YYYYMMDD'));
    options text;
    is_late boolean;
BEGIN
    SELECT * INTO STRICT kept FROM retention WHERE name = wanted;
    low := id_at(kept.prefix, since);
    high := id_at(kept.prefix, until);
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= $1 AND %2$I < $2)', wanted || '_default', kept.id)
        INTO is_late USING low, high;
    IF is_late OR EXISTS (
        SELECT FROM partitions_of(wanted)
        WHERE first_id COLLATE "C" < high AND end_id COLLATE "C" > low
    ) THEN
        RETURN false;
    END IF;
    SELECT 'WITH (' || array_to_string(reloptions, ', ') || ')' INTO options
        FROM pg_class WHERE oid = (wanted || '_default')::regclass;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) %s', part, wanted, options);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', wanted, part, low, high);
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION make_partition FROM PUBLIC;
