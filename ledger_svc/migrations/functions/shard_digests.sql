-- One row of SHA-256 over all rows of a shard that were written by transactions in [since, before).
CREATE OR REPLACE FUNCTION shard_digests(since xid8, before xid8)
RETURNS TABLE (shard text, row_count bigint, digest bytea) LANGUAGE plpgsql STABLE
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH line (shard, place, seq, text) AS (
        SELECT 'entries/' || account_id % 4, txid, seq,
            concat_ws('|', txid, seq, account_id, journal_id, amount)
        FROM entries WHERE txid >= since AND txid < before
        UNION ALL
        SELECT 'journals', txid, 0,
            -- Epochs, because the text of a time depends on the reader's time zone.
            jsonb_build_array(txid::text, id, business_key, kind, reference, order_id, payment_id, corrects,
                extract(epoch FROM effective_at), extract(epoch FROM recorded_at))::text
        FROM journals WHERE txid >= since AND txid < before
        UNION ALL
        SELECT 'accounts', txid, id,
            jsonb_build_array(txid::text, id, code, base, kind, currency)::text
        FROM accounts WHERE txid >= since AND txid < before
    )
    SELECT shards.shard, count(line.text),
        sha256(convert_to(
            coalesce(string_agg(line.text, E'\n' ORDER BY place, seq, line.text COLLATE "C"), ''), 'UTF8'))
    FROM unnest(ARRAY['entries/0', 'entries/1', 'entries/2', 'entries/3', 'journals', 'accounts'])
        AS shards (shard)
    LEFT JOIN line ON line.shard = shards.shard
    GROUP BY shards.shard;
END
$$;

-- It only reads, with the rights of whoever calls: anyone who may read the books may check them.
GRANT EXECUTE ON FUNCTION shard_digests TO PUBLIC;
