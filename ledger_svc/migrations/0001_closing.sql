-- What keeps the books cheap to read and impossible to change unseen: snapshots, seals, and the sum.

-- One row of SHA-256 over all rows of a shard that were written by transactions in [since, before).
CREATE FUNCTION shard_digests(since xid8, before xid8)
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

CREATE FUNCTION seal_hash(
    previous bytea, shard text, since xid8, before xid8, row_count bigint, digest bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN sha256(previous || convert_to(concat_ws('|', shard, since, before, row_count), 'UTF8') || digest);

-- The end of the next stretch to close: the safe horizon, or less if that would be too much at once.
-- No transaction below the horizon is still open, so nothing can be added below it any more.
CREATE FUNCTION next_horizon(since xid8, max_entries integer) RETURNS xid8 LANGUAGE plpgsql
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

-- Closes the books up to the safe horizon: seals what is new, takes snapshots, checks the sum.
-- Returns how many entries were sealed; 0 if there was nothing to do. Any number of replicas may call it.
CREATE FUNCTION close_books(max_entries integer DEFAULT 50000) RETURNS bigint LANGUAGE plpgsql
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

-- Takes a snapshot of each account that has entries in [since, before) and many since its last snapshot.
CREATE FUNCTION take_snapshots(since xid8, before xid8, min_entries integer DEFAULT 1000) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
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

-- What stands on an account, its lanes summed in one snapshot; no row if it does not exist.
CREATE FUNCTION balance_of(wanted text) RETURNS TABLE (currency text, posted bigint, entry_count bigint)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
    SELECT accounts.currency, sum(coalesce(last.posted, 0) + coalesce(delta.posted, 0))::bigint,
        sum(coalesce(last.entry_count, 0) + delta.entry_count)::bigint
    FROM accounts
    LEFT JOIN LATERAL (
        SELECT horizon, posted, entry_count FROM snapshots
        WHERE snapshots.account_id = accounts.id ORDER BY horizon DESC LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS posted, count(*) AS entry_count FROM entries
        WHERE entries.account_id = accounts.id AND txid >= coalesce(last.horizon, '0')
    ) AS delta
    WHERE accounts.base = wanted
    GROUP BY accounts.currency
$$;

-- Recomputes every seal; returns what does not fit, so no row means that nothing was changed.
CREATE FUNCTION verify_seals() RETURNS TABLE (shard text, from_txid xid8, problem text)
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
