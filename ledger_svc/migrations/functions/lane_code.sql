-- The account that an entry goes to. All entries of a journal go to the same lane.
CREATE OR REPLACE FUNCTION lane_code(code text, lanes smallint, journal_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN lanes > 1 THEN
        code || '#' || lpad((abs(hashtextextended(journal_id, 0) % lanes))::text, 2, '0')
    ELSE code
END;

REVOKE EXECUTE ON FUNCTION lane_code FROM PUBLIC;
