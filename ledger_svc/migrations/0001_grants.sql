-- The service may look at everything and write nothing but through two functions.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
-- They only read, with the rights of whoever calls: anyone who may read the books may check them.
GRANT EXECUTE ON FUNCTION verify_seals(), shard_digests(xid8, xid8), balance_of(text),
    seal_hash(bytea, text, xid8, xid8, bigint, bytea) TO PUBLIC;

DO $$
BEGIN
    EXECUTE format(
        'GRANT SELECT ON currencies, chart, accounts, journals, entries, balance_headers, snapshots, seals,'
        ' posting_halts TO %I', current_database());
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION close_books(integer), post_journals(text[], text[], text[], text[],'
        ' text[], text[], text[], timestamptz[], integer[], text[], bigint[]) TO %I', current_database());
END
$$;
