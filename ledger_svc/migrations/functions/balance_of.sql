-- What stands on an account, its lanes summed in one snapshot; no row if it does not exist.
CREATE OR REPLACE FUNCTION balance_of(wanted text)
RETURNS TABLE (currency text, posted bigint, entry_count bigint)
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

-- It only reads, with the rights of whoever calls: anyone who may read the books may check them.
GRANT EXECUTE ON FUNCTION balance_of TO PUBLIC;
