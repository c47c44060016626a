-- The only way to write the books. Set-based: what a statement costs is shared by the whole batch.

-- The account that an entry goes to. All entries of a journal go to the same lane.
CREATE FUNCTION lane_code(code text, lanes smallint, journal_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN lanes > 1 THEN
        code || '#' || lpad((abs(hashtextextended(journal_id, 0) % lanes))::text, 2, '0')
    ELSE code
END;

-- Looks at each entry and each journal on its own.
-- account_ids: of each entry, in order; NULL where there is no account yet.
-- codes: of each journal, in order; NULL where nothing is wrong, REPEATED where the batch has the key before.
-- header_ids: accounts that are constrained. bound: whether a limit binds any of the journals.
CREATE FUNCTION judge_journals(
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

-- Makes the accounts that entries of good journals go to for the first time; returns the accounts of all.
CREATE FUNCTION open_accounts(
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

-- Refuses, in the order of the batch, journals that would break a floor or ceiling; returns the codes.
-- The caller holds the locks of the headers.
CREATE FUNCTION apply_limits(
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

-- Posts up to 1,000 journals; entries are given flat, each with the position (from 1) of its journal.
-- Answers each journal in order: POSTED, POSTED_BEFORE (with the id of the first), or why it was refused.
CREATE FUNCTION post_journals(
    journal_ids text[], business_keys text[], kinds text[], refs text[], order_ids text[],
    payment_ids text[], corrected text[], effective_ats timestamptz[],
    entry_journals integer[], entry_accounts text[], entry_amounts bigint[]
) RETURNS TABLE (business_key text, code text, journal_id text) LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    judged record;
    account_ids bigint[];
    header_ids bigint[];
    codes text[];
    posted text[];
BEGIN
    IF EXISTS (SELECT FROM posting_halts WHERE lifted_at IS NULL) THEN
        RAISE EXCEPTION 'posting is halted: the books do not sum to zero'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF cardinality(journal_ids) > 1000 THEN
        RAISE EXCEPTION 'a batch has at most 1,000 journals' USING ERRCODE = 'program_limit_exceeded';
    END IF;

    judged := judge_journals(
        journal_ids, business_keys, kinds, entry_journals, entry_accounts, entry_amounts);
    account_ids := judged.account_ids;
    header_ids := judged.header_ids;
    codes := judged.codes;
    IF judged.unopened THEN
        SELECT opened.account_ids, opened.header_ids INTO account_ids, header_ids
        FROM open_accounts(journal_ids, codes, entry_journals, entry_accounts) AS opened;
    END IF;
    IF header_ids IS NOT NULL THEN
        PERFORM FROM balance_headers WHERE account_id = ANY (header_ids) ORDER BY account_id FOR UPDATE;
        -- Captures are not bound by the floor of a merchant's account, so this is rare.
        IF judged.bound THEN
            codes := apply_limits(
                business_keys, kinds, codes, header_ids, entry_journals, account_ids, entry_amounts);
        END IF;
    END IF;

    WITH fresh AS (
        INSERT INTO journals AS j
            (id, business_key, kind, reference, order_id, payment_id, corrects, effective_at)
        SELECT given.id, given.business_key, given.kind, given.reference, nullif(given.order_id, ''),
            nullif(given.payment_id, ''), nullif(given.corrects, ''), given.effective_at
        FROM unnest(journal_ids, business_keys, kinds, refs, order_ids, payment_ids, corrected,
                    effective_ats, codes) WITH ORDINALITY
            AS given (id, business_key, kind, reference, order_id, payment_id, corrects, effective_at,
                      code, ord)
        WHERE given.code IS NULL
        ORDER BY given.business_key, given.ord
        ON CONFLICT (business_key) DO NOTHING
        RETURNING j.id
    ), line AS (
        SELECT given.account_id, fresh.id, given.amount
        FROM unnest(entry_journals, account_ids, entry_amounts)
            AS given (journal, account_id, amount)
        JOIN fresh ON fresh.id = journal_ids[given.journal]
    ), written AS (
        INSERT INTO entries (account_id, journal_id, amount) SELECT * FROM line
    ), moved AS (
        UPDATE balance_headers h SET posted = h.posted + change.delta, version = h.version + 1
        FROM (
            SELECT line.account_id, sum(line.amount) AS delta
            FROM unnest(header_ids) AS constrained (account_id) JOIN line USING (account_id)
            GROUP BY line.account_id
        ) AS change
        WHERE h.account_id = change.account_id
    )
    SELECT array_agg(fresh.id) INTO posted FROM fresh;

    IF cardinality(posted) = cardinality(journal_ids) THEN
        RETURN QUERY SELECT given.key, 'POSTED', given.id
            FROM unnest(business_keys, journal_ids) AS given (key, id);
        RETURN;
    END IF;
    -- A statement of its own, because it has to see what a concurrent batch has posted.
    RETURN QUERY
        SELECT given.key,
            CASE
                WHEN given.id = ANY (posted) THEN 'POSTED'
                WHEN first.id IS NOT NULL THEN 'POSTED_BEFORE'
                WHEN given.code = 'REPEATED' THEN codes[array_position(business_keys, given.key)]
                ELSE given.code
            END,
            first.id
        FROM unnest(business_keys, journal_ids, codes) WITH ORDINALITY AS given (key, id, code, ord)
        LEFT JOIN LATERAL (
            SELECT j.id FROM journals j WHERE j.business_key = given.key LIMIT 1
        ) AS first ON true
        ORDER BY given.ord;
END
$$;
