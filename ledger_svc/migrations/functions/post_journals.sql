-- The only way to write the books. Set-based: what a statement costs is shared by the whole batch.
-- Posts up to 1,000 journals with up to 10,000 entries; these are given flat, each with the position (from 1) of
-- its journal.
-- Answers each journal in order: POSTED, POSTED_BEFORE (with the id of the first), or why it was refused.
CREATE OR REPLACE FUNCTION post_journals(
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
    ELSIF cardinality(entry_journals) > 10000 THEN
        RAISE EXCEPTION 'a batch has at most 10,000 entries' USING ERRCODE = 'program_limit_exceeded';
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

-- It runs with the rights of the books' owner, so nobody may call it but the service.
REVOKE EXECUTE ON FUNCTION post_journals FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION post_journals TO %I', current_database());
END $$;
