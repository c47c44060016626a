-- Where the ids of an instant begin: the prefix and 48 bits of milliseconds as kit/values/ids.py writes them.
CREATE OR REPLACE FUNCTION id_at(prefix text, at timestamptz) RETURNS text LANGUAGE sql STABLE
RETURN prefix || '_' || (
    SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
            1 + (floor(extract(epoch FROM at) * 1000)::bigint >> place & 31)::integer, 1), '' ORDER BY place DESC)
    FROM generate_series(0, 45, 5) AS place);

REVOKE EXECUTE ON FUNCTION id_at FROM PUBLIC;
