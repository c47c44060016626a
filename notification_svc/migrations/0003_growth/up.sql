-- Needs: retention
INSERT INTO retention (name, written_at, open, least_days, id, prefix, partition_days)
VALUES ('deliveries', 'requested_at', $$status = 'PENDING'$$, 30, 'order_id', 'ord', 7);

ALTER TABLE deliveries RENAME TO deliveries_before;
ALTER TABLE deliveries_before DROP CONSTRAINT deliveries_once;
DROP INDEX deliveries_due;

-- By order, so that an order is still told about once; the time in its id is that of the order.
-- What has a fixed length stands first, so that nothing is left between.
CREATE TABLE deliveries (
    requested_at   timestamptz NOT NULL,
    due_at         timestamptz NOT NULL,          -- PENDING: tried (again) from here on; a claim pushes it
    sent_at        timestamptz,
    attempts       integer NOT NULL CHECK (attempts >= 0), -- begun, the one under way included
    id             text NOT NULL,                 -- dlv_…; names the message, so a second send is recognised
    order_id       text COLLATE "C" NOT NULL,     -- what the message is about
    channel        text NOT NULL CHECK (channel IN ('email')),
    template       text NOT NULL CHECK (template IN ('order_completed', 'order_failed')),
    recipient      text NOT NULL,                 -- as the buyer gave it
    facts          jsonb NOT NULL,                -- what the template needs, as it was when the order ended
    correlation_id text NOT NULL,
    traceparent    text NOT NULL,
    status         text NOT NULL CHECK (status IN ('PENDING', 'SENT', 'FAILED')),
    last_error     text NOT NULL,                 -- of the last attempt; empty if all is well
    -- An order that ends is told about once, however often we hear of it.
    CONSTRAINT deliveries_once PRIMARY KEY (order_id, template, channel),
    CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CHECK (status <> 'SENT' OR last_error = ''),
    CHECK (status <> 'FAILED' OR last_error <> '')
) PARTITION BY RANGE (order_id);
COMMENT ON TABLE deliveries IS 'Messages to buyers: at least once each, and what became of them.';
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'PENDING';
CREATE INDEX deliveries_age ON deliveries USING brin (requested_at) WITH (autosummarize = on);
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;
CREATE INDEX deliveries_default_age ON deliveries_default (requested_at);
-- As all partitions have it: each row is written once more, and what that leaves is soon used again.
ALTER TABLE deliveries_default SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000
);

-- The rows that are there go to the partitions of their weeks. The default one has to stay small: whenever a
-- partition is made it is locked and read, all of it.
DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT 'deliveries_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD') AS name, ids[1] AS low, ids[2] AS high
        FROM (
            SELECT DISTINCT date_bin('7 days', requested_at, timestamptz 'epoch') AS week FROM deliveries_before
        ) AS weeks,
        LATERAL (
            -- Where the ids of an instant begin; functions/id_at.sql explains it.
            SELECT array_agg(id ORDER BY id COLLATE "C") AS ids FROM (
                SELECT 'ord_' || string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
                    1 + (floor(extract(epoch FROM edge) * 1000)::bigint >> place & 31)::integer, 1),
                    '' ORDER BY place DESC) AS id
                FROM (VALUES (week), (week + interval '168 hours')) AS edges (edge),
                    generate_series(0, 45, 5) AS place
                GROUP BY edge
            ) AS of_edges
        ) AS of_week
        ORDER BY name
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF deliveries FOR VALUES FROM (%L) TO (%L)'
            ' WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)',
            part.name, part.low, part.high);
    END LOOP;
END
$$;

INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent, status,
    attempts, last_error, requested_at, due_at, sent_at)
SELECT id, order_id, channel, template, recipient, facts, correlation_id, traceparent, status,
    attempts, last_error, requested_at, due_at, sent_at
FROM deliveries_before;
DROP TABLE deliveries_before;

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON deliveries TO %I', current_database());
END
$$;
