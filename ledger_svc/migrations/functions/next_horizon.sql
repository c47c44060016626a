-- The end of the next stretch to close: the safe horizon, or less if that would be too much at once.
-- No transaction below the horizon is still open, so nothing can be added below it any more.
CREATE OR REPLACE FUNCTION next_horizon(since xid8, max_entries integer) RETURNS xid8 LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
    first xid8;
    bounded xid8;
BEGIN
    SELECT txid INTO first FROM entries WHERE txid >= since AND txid < horizon ORDER BY txid, seq LIMIT 1;
    SELECT txid INTO bounded FROM entries WHERE txid >= since AND txid < horizon
        ORDER BY txid, seq OFFSET max_entries LIMIT 1;
    -- A single transaction is never divided: if the first is too large, it is a stretch by itself.
    IF bounded = first THEN
        SELECT txid INTO bounded FROM entries WHERE txid > first AND txid < horizon ORDER BY txid, seq LIMIT 1;
    END IF;
    RETURN coalesce(bounded, horizon);
END
$$;

REVOKE EXECUTE ON FUNCTION next_horizon FROM PUBLIC;
