-- Takes a snapshot of each account that has entries in [since, before) and many since its last snapshot.
CREATE OR REPLACE FUNCTION take_snapshots(since xid8, before xid8, min_entries integer DEFAULT 1000)
RETURNS void LANGUAGE sql SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
    INSERT INTO snapshots (account_id, horizon, posted, entry_count)
    SELECT touched.account_id, before, coalesce(last.posted, 0) + delta.posted,
        coalesce(last.entry_count, 0) + delta.entry_count
    FROM (SELECT DISTINCT account_id FROM entries WHERE txid >= since AND txid < before) AS touched
    LEFT JOIN LATERAL (
        SELECT horizon, posted, entry_count FROM snapshots
        WHERE snapshots.account_id = touched.account_id ORDER BY horizon DESC LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS posted, count(*) AS entry_count FROM entries
        WHERE entries.account_id = touched.account_id
            AND txid >= coalesce(last.horizon, '0') AND txid < before
    ) AS delta
    WHERE delta.entry_count >= min_entries
$$;

REVOKE EXECUTE ON FUNCTION take_snapshots FROM PUBLIC;
