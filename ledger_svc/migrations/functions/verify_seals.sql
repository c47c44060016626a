-- Recomputes every seal; returns what does not fit, so no row means that nothing was changed.
CREATE OR REPLACE FUNCTION verify_seals() RETURNS TABLE (shard text, from_txid xid8, problem text)
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH chained AS (
        SELECT seals.*,
            lag(hash, 1, '\x') OVER chain AS expected_previous,
            lag(to_txid, 1, '0') OVER chain AS expected_from
        FROM seals WINDOW chain AS (PARTITION BY seals.shard ORDER BY seals.from_txid)
    ), recomputed AS (
        SELECT stretch.from_txid, stretch.to_txid, found.*
        FROM (SELECT DISTINCT from_txid, to_txid FROM seals) AS stretch,
            LATERAL shard_digests(stretch.from_txid, stretch.to_txid) AS found
    )
    SELECT shard, from_txid, CASE
            WHEN chained.shard IS NULL THEN 'a seal is missing'
            WHEN chained.from_txid <> expected_from THEN 'seals before it are missing'
            WHEN chained.previous_hash <> expected_previous THEN 'the seal before it was changed'
            WHEN chained.row_count <> recomputed.row_count
                THEN format('%s rows were sealed, %s are there', chained.row_count, recomputed.row_count)
            ELSE 'a row or the seal was changed'
        END
    FROM recomputed LEFT JOIN chained USING (shard, from_txid, to_txid)
    WHERE chained.hash IS DISTINCT FROM seal_hash(
            expected_previous, shard, expected_from, to_txid, recomputed.row_count, digest)
        OR chained.previous_hash <> expected_previous OR chained.from_txid <> expected_from
    ORDER BY from_txid, shard;
END
$$;

-- It only reads, with the rights of whoever calls: anyone who may read the books may check them.
GRANT EXECUTE ON FUNCTION verify_seals TO PUBLIC;
