-- One link of the chain of seals: what is sealed, bound to the seal before it.
CREATE OR REPLACE FUNCTION seal_hash(
    previous bytea, shard text, since xid8, before xid8, row_count bigint, digest bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN sha256(previous || convert_to(concat_ws('|', shard, since, before, row_count), 'UTF8') || digest);

-- It only reads, with the rights of whoever calls: anyone who may read the books may check them.
GRANT EXECUTE ON FUNCTION seal_hash TO PUBLIC;
