-- Keeps the books cheap to read and impossible to change unseen: snapshots, seals, and the sum.
-- Closes the books up to the safe horizon: seals what is new, takes snapshots, checks the sum.
-- Returns how many entries were sealed; 0 if there was nothing to do. Any number of replicas may call it.
CREATE OR REPLACE FUNCTION close_books(max_entries integer DEFAULT 50000) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    since xid8;
    horizon xid8;
    crooked text;
    sealed bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('florin.ledger.close_books', 0)) THEN
        RETURN 0;  -- Another replica is at it.
    END IF;
    SELECT to_txid INTO since FROM seals WHERE shard = 'journals' ORDER BY from_txid DESC LIMIT 1;
    since := coalesce(since, '0');
    horizon := next_horizon(since, max_entries);
    IF NOT EXISTS (SELECT FROM journals WHERE txid >= since AND txid < horizon)
        AND NOT EXISTS (SELECT FROM entries WHERE txid >= since AND txid < horizon)
        AND NOT EXISTS (SELECT FROM accounts WHERE txid >= since AND txid < horizon)
    THEN
        RETURN 0;
    END IF;

    INSERT INTO seals (shard, from_txid, to_txid, row_count, previous_hash, hash)
    SELECT shard, since, horizon, row_count, previous,
        seal_hash(previous, shard, since, horizon, row_count, digest)
    FROM shard_digests(since, horizon), LATERAL (
        SELECT coalesce((SELECT hash FROM seals WHERE seals.shard = shard_digests.shard
            ORDER BY from_txid DESC LIMIT 1), '\x') AS previous
    ) AS chain;

    PERFORM take_snapshots(since, horizon);

    -- Every stretch holds whole transactions, so if each sums to zero, everything does.
    SELECT string_agg(format('%s is off by %s', currency, total), ', ') INTO crooked
    FROM (
        SELECT accounts.currency, sum(entries.amount) AS total
        FROM entries JOIN accounts ON accounts.id = entries.account_id
        WHERE entries.txid >= since AND entries.txid < horizon
        GROUP BY accounts.currency HAVING sum(entries.amount) <> 0
    ) AS off;
    IF crooked IS NOT NULL THEN
        INSERT INTO posting_halts (reason)
        VALUES (format('between transactions %s and %s: %s', since, horizon, crooked));
    END IF;
    SELECT sum(row_count) INTO sealed FROM seals WHERE from_txid = since AND shard LIKE 'entries/%';
    RETURN sealed;
END
$$;

-- It runs with the rights of the books' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION close_books FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION close_books TO %I', current_database());
END $$;
