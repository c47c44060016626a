-- Makes the accounts that entries of good journals go to for the first time; returns the accounts of all.
CREATE OR REPLACE FUNCTION open_accounts(
    journal_ids text[], codes text[], entry_journals integer[], entry_accounts text[],
    OUT account_ids bigint[], OUT header_ids bigint[]
) LANGUAGE plpgsql
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    -- In one order, like every lock that posting takes, so that two batches cannot deadlock.
    WITH opened AS (
        INSERT INTO accounts (code, base, kind, currency)
        SELECT DISTINCT lane_code(given.code, chart.lanes, journal_ids[given.journal]) AS code,
            given.code AS base, chart.kind, split_part(given.code, ':', -1)
        FROM unnest(entry_journals, entry_accounts) AS given (journal, code)
        JOIN chart ON chart.kind = split_part(given.code, ':', 1)
        WHERE codes[given.journal] IS NULL AND NOT EXISTS (
            SELECT FROM accounts
            WHERE accounts.code = lane_code(given.code, chart.lanes, journal_ids[given.journal]))
        ORDER BY 1
        ON CONFLICT (code) DO NOTHING
        RETURNING id, kind
    )
    INSERT INTO balance_headers (account_id, floor, ceiling)
    SELECT opened.id,
        CASE WHEN binding_kinds IS NULL THEN floor END, CASE WHEN binding_kinds IS NULL THEN ceiling END
    FROM opened JOIN chart USING (kind) WHERE chart.constrained;

    -- A statement of its own, because it has to see what a concurrent batch has made.
    SELECT array_agg(account.id ORDER BY given.ord),
        array_agg(DISTINCT account.id) FILTER (WHERE chart.constrained AND account.id IS NOT NULL)
    INTO account_ids, header_ids
    FROM unnest(entry_journals, entry_accounts) WITH ORDINALITY AS given (journal, code, ord)
    LEFT JOIN chart ON chart.kind = split_part(given.code, ':', 1)
    LEFT JOIN LATERAL (
        SELECT id FROM accounts
        WHERE accounts.code = lane_code(given.code, chart.lanes, journal_ids[given.journal]) LIMIT 1
    ) AS account ON true;
END
$$;

REVOKE EXECUTE ON FUNCTION open_accounts FROM PUBLIC;
