-- The partitions of a table that have bounds, and the ids between which each of them lies.
CREATE OR REPLACE FUNCTION partitions_of(wanted text) RETURNS TABLE (part regclass, first_id text, end_id text)
LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$
    SELECT part, bounds[1], bounds[2]
    FROM (
        SELECT c.oid::regclass AS part,
            regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$FROM \('(.*)'\) TO \('(.*)'\)$re$) AS bounds
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = wanted::regclass
    ) AS found
    WHERE bounds IS NOT NULL
$$;

-- By them a service knows how far back its inbox goes.
REVOKE EXECUTE ON FUNCTION partitions_of FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION partitions_of TO %I', current_database());
END $$;
