-- How long rows stay. The service says for how many days, as long as that is not less than what is said here.
CREATE TABLE retention (
    name           text PRIMARY KEY,        -- of the table
    written_at     text NOT NULL,           -- its column by which a row is old; one without a value stays
    open           text NOT NULL DEFAULT 'false', -- a condition: rows that stay however old they are
    least_days     integer NOT NULL CHECK (least_days >= 0),
    id             text,                    -- its column of our ids, by ranges of which it is partitioned
    prefix         text,                    -- of these ids, e.g. evt
    partition_days integer CHECK (partition_days > 0),
    -- Without these three, old rows are deleted one by one: that takes an index on written_at.
    CHECK (num_nulls(id, prefix, partition_days) IN (0, 3))
);
COMMENT ON TABLE retention IS
    'Tables whose old rows go, by dropping partitions or by deleting rows. Written by migrations only.';

INSERT INTO retention (name, written_at, least_days, id, prefix, partition_days)
-- Longer than any event is resent.
VALUES ('inbox', 'received_at', 8, 'event_id', 'evt', 1);

-- Few, and each decided by a person: not worth a partition. An open one has no time yet, so it stays.
INSERT INTO retention (name, written_at, least_days) VALUES ('dead_letters', 'acknowledged_at', 8);
CREATE INDEX dead_letters_decided ON dead_letters (acknowledged_at) WHERE acknowledged_at IS NOT NULL;

-- Their names are the callers' own, so no range of time keeps one of them unique (docs/decisions/0017).
INSERT INTO retention (name, written_at, least_days) VALUES ('idempotency_keys', 'expires_at', 0);
-- As many come as go; vacuumed often, the beginning of the index by time stays free of dead entries.
ALTER TABLE idempotency_keys SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

ALTER TABLE inbox RENAME TO inbox_before;
ALTER TABLE inbox_before DROP CONSTRAINT inbox_pkey;
DROP INDEX inbox_age;
-- Ranges of ids are ranges of time by the order of bytes only.
ALTER TABLE inbox_before ALTER COLUMN event_id TYPE text COLLATE "C";

CREATE TABLE inbox (
    consumer    text NOT NULL,              -- service that acted on the event
    event_id    text COLLATE "C" NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, consumer)
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE inbox IS 'One row per effect of an event; makes every handler happen once.';
-- For what came late: it is at the end of its partition, and stays when that goes.
CREATE INDEX inbox_age ON inbox USING brin (received_at) WITH (autosummarize = on);
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;
CREATE INDEX inbox_default_age ON inbox_default (received_at);
-- As all partitions have it: nothing is ever deleted there, so there is nothing to clear.
ALTER TABLE inbox_default SET (autovacuum_vacuum_insert_threshold = -1);

-- The old table becomes the partition of all the time before tomorrow, with its rows where they are.
DO $$
DECLARE
    -- The id of the next midnight; functions/id_at.sql explains it.
    millis constant bigint := (floor(extract(epoch FROM now()) / 86400)::bigint + 1) * 86400000;
    bound constant text := 'evt_' || (
        SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (millis >> place & 31)::integer, 1),
            '' ORDER BY place DESC)
        FROM generate_series(0, 45, 5) AS place);
BEGIN
    IF EXISTS (SELECT FROM inbox_before) THEN
        WITH foreign_ids AS (
            DELETE FROM inbox_before WHERE event_id < 'evt_' OR event_id >= bound RETURNING *
        )
        INSERT INTO inbox SELECT * FROM foreign_ids;
        EXECUTE format('REVOKE ALL ON inbox_before FROM %I', current_database());
        ALTER TABLE inbox_before ADD PRIMARY KEY (event_id, consumer);
        ALTER TABLE inbox_before SET (autovacuum_vacuum_insert_threshold = -1);
        EXECUTE format(
            'ALTER TABLE inbox ATTACH PARTITION inbox_before FOR VALUES FROM (%L) TO (%L)', 'evt_', bound);
    ELSE
        DROP TABLE inbox_before;
    END IF;
    -- What is forgotten is forgotten by forget_rows and drop_partitions.
    EXECUTE format('GRANT SELECT, INSERT ON inbox TO %I', current_database());
    EXECUTE format('GRANT SELECT ON retention TO %I', current_database());
END
$$;
