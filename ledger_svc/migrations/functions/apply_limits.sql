-- Refuses, in the order of the batch, journals that would break a floor or ceiling; returns the codes.
-- The caller holds the locks of the headers.
CREATE OR REPLACE FUNCTION apply_limits(
    business_keys text[], kinds text[], codes text[], header_ids bigint[],
    entry_journals integer[], account_ids bigint[], entry_amounts bigint[]
) RETURNS text[] LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    balances jsonb;
    move record;
BEGIN
    SELECT jsonb_object_agg(account_id, posted - pending) INTO balances
    FROM balance_headers WHERE account_id = ANY (header_ids);
    FOR move IN
        SELECT journal, bool_or(is_bound AND (
                (delta < 0 AND floor IS NOT NULL) OR (delta > 0 AND ceiling IS NOT NULL))) AS is_bound,
            jsonb_agg(jsonb_build_array(account_id, delta, floor, ceiling, is_bound)) AS changes
        FROM (
            SELECT given.journal, given.account_id, sum(given.amount) AS delta, chart.floor, chart.ceiling,
                kinds[given.journal] = ANY (coalesce(binding_kinds, kinds)) AS is_bound
            FROM unnest(entry_journals, account_ids, entry_amounts) AS given (journal, account_id, amount)
            JOIN accounts ON accounts.id = given.account_id JOIN chart USING (kind)
            WHERE chart.constrained AND codes[given.journal] IS NULL
                -- What was posted before is in the balances already. The locks above make sure that a
                -- concurrent batch with the same keys has ended, so that its journals are seen here.
                AND NOT EXISTS (SELECT FROM journals WHERE business_key = business_keys[given.journal])
            GROUP BY given.journal, given.account_id, chart.kind
        ) AS change
        GROUP BY journal ORDER BY journal
    LOOP
        IF move.is_bound AND EXISTS (
            SELECT FROM jsonb_array_elements(move.changes) AS change,
                LATERAL (SELECT (balances ->> (change ->> 0))::numeric + (change ->> 1)::numeric AS balance)
            WHERE (change ->> 4)::boolean AND (
                ((change ->> 1)::numeric < 0 AND balance < (change ->> 2)::numeric)
                OR ((change ->> 1)::numeric > 0 AND balance > (change ->> 3)::numeric))
        ) THEN
            codes[move.journal] := 'LIMIT_EXCEEDED';
        ELSE
            SELECT balances || jsonb_object_agg(change ->> 0,
                (balances ->> (change ->> 0))::numeric + (change ->> 1)::numeric) INTO balances
            FROM jsonb_array_elements(move.changes) AS change;
        END IF;
    END LOOP;
    RETURN codes;
END
$$;

REVOKE EXECUTE ON FUNCTION apply_limits FROM PUBLIC;
