-- The end of the next stretch to close: the safe horizon, or less if that would be too much at once.
-- No transaction below the horizon is still open, so nothing can be added below it any more.
CREATE OR REPLACE FUNCTION next_horizon(since xid8, max_entries integer) RETURNS xid8 LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    bounded xid8;
BEGIN
    SELECT txid INTO bounded FROM entries WHERE txid >= since AND txid < horizon
        ORDER BY txid, seq OFFSET max_entries LIMIT 1;
    -- A single transaction is never divided.
    RETURN CASE WHEN bounded > since THEN bounded ELSE horizon END;
END
$$;

REVOKE EXECUTE ON FUNCTION next_horizon FROM PUBLIC;
