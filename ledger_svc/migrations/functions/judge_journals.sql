-- Looks at each entry and each journal on its own.
-- account_ids: of each entry, in order; NULL where there is no account yet.
-- codes: of each journal, in order; NULL where nothing is wrong, REPEATED where the batch has the key before.
-- header_ids: accounts that are constrained. bound: whether a limit binds any of the journals.
CREATE OR REPLACE FUNCTION judge_journals(
    journal_ids text[], business_keys text[], kinds text[],
    entry_journals integer[], entry_accounts text[], entry_amounts bigint[],
    OUT account_ids bigint[], OUT header_ids bigint[], OUT codes text[], OUT unopened boolean,
    OUT bound boolean
) LANGUAGE plpgsql STABLE
SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
BEGIN
    WITH line AS MATERIALIZED (
        SELECT given.ord, given.journal, given.amount, account.id AS account_id,
            chart.constrained, split_part(given.code, ':', -1) COLLATE "C" AS currency,
            chart.constrained AND kinds[given.journal] = ANY (coalesce(chart.binding_kinds, kinds)) AS bound,
            CASE
                WHEN account.closed_at IS NOT NULL THEN 'CLOSED_ACCOUNT'
                WHEN account.id IS NULL AND (
                    chart.kind IS NULL
                    OR given.code !~ '^[a-z_]+(:[^:#[:space:][:cntrl:]]{1,150}){1,2}:[A-Za-z0-9]{1,8}$'
                    OR length(given.code) > 200
                ) THEN 'UNKNOWN_ACCOUNT'
                WHEN account.id IS NULL AND NOT EXISTS (
                    SELECT FROM currencies WHERE currencies.code = split_part(given.code, ':', -1)
                        AND currencies.code = coalesce(chart.only_currency, currencies.code)
                ) THEN 'WRONG_CURRENCY'
                WHEN given.amount = 0 THEN 'ZERO_AMOUNT'
            END AS problem
        FROM unnest(entry_journals, entry_accounts, entry_amounts)
            WITH ORDINALITY AS given (journal, code, amount, ord)
        LEFT JOIN chart ON chart.kind = split_part(given.code, ':', 1)
        -- LIMIT keeps this a look-up for each entry: a plan made while the table was small stays good.
        LEFT JOIN LATERAL (
            SELECT id, closed_at FROM accounts
            WHERE accounts.code = lane_code(given.code, chart.lanes, journal_ids[given.journal]) LIMIT 1
        ) AS account ON true
    ), verdict AS (
        SELECT journal,
            CASE
                WHEN sum(entries) < 2 THEN 'EMPTY'
                -- The first in the alphabet, if there are several.
                ELSE coalesce(min(problem), CASE WHEN bool_or(total <> 0) THEN 'UNBALANCED' END)
            END AS code
        FROM (
            SELECT journal, count(*) AS entries, sum(amount) AS total, min(problem) AS problem
            FROM line GROUP BY journal, currency
        ) AS by_currency
        GROUP BY journal
    )
    SELECT
        (SELECT array_agg(line.account_id ORDER BY line.ord) FROM line),
        (SELECT array_agg(DISTINCT line.account_id) FROM line WHERE line.constrained),
        (
            SELECT array_agg(CASE
                WHEN given.first < given.ord THEN 'REPEATED'
                WHEN verdict.journal IS NULL THEN 'EMPTY'
                ELSE verdict.code
            END ORDER BY given.ord)
            FROM (
                SELECT ord, min(ord) OVER (PARTITION BY key) AS first
                FROM unnest(business_keys) WITH ORDINALITY AS keys (key, ord)
            ) AS given
            LEFT JOIN verdict ON verdict.journal = given.ord
        ),
        (SELECT coalesce(bool_or(line.account_id IS NULL), false) FROM line),
        (SELECT coalesce(bool_or(line.bound), false) FROM line)
    INTO account_ids, header_ids, codes, unopened, bound;
END
$$;

REVOKE EXECUTE ON FUNCTION judge_journals FROM PUBLIC;
