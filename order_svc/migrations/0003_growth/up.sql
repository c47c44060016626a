-- Needs: retention
INSERT INTO retention (name, written_at, least_days, id, prefix, partition_days)
VALUES ('timeline', 'at', 30, 'order_id', 'ord', 7);

ALTER TABLE timeline RENAME TO timeline_before;
ALTER TABLE timeline_before RENAME CONSTRAINT timeline_pkey TO timeline_before_pkey;

-- What has a fixed length stands first, so that nothing is left between.
CREATE TABLE timeline (
    at       timestamptz NOT NULL,
    trace_id uuid,                                 -- of W3C; NULL if nothing was traced
    order_id text COLLATE "C" NOT NULL,
    event    text NOT NULL,                        -- id of the event behind the step; for a step of the order
                                                   -- itself what follows the order's id in it: '' or ':version'
    service  text NOT NULL,
    step     text NOT NULL,                        -- noun.verbed
    detail   text NOT NULL,                        -- one sentence for people
    PRIMARY KEY (order_id, event)
) PARTITION BY RANGE (order_id);
COMMENT ON TABLE timeline IS 'Each step of each order, as the order service saw it.';
CREATE INDEX timeline_age ON timeline USING brin (at) WITH (autosummarize = on);
CREATE TABLE timeline_default PARTITION OF timeline DEFAULT;
CREATE INDEX timeline_default_age ON timeline_default (at);
ALTER TABLE timeline_default SET (autovacuum_vacuum_insert_threshold = -1);

-- The rows that are there go to the partitions of their weeks. The default one has to stay small: whenever a
-- partition is made it is locked and read, all of it.
DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT 'timeline_' || to_char(week AT TIME ZONE 'UTC', 'YYYYMMDD') AS name, ids[1] AS low, ids[2] AS high
        FROM (SELECT DISTINCT date_bin('7 days', at, timestamptz 'epoch') AS week FROM timeline_before) AS weeks,
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
        EXECUTE format('CREATE TABLE %I PARTITION OF timeline FOR VALUES FROM (%L) TO (%L)'
            ' WITH (autovacuum_vacuum_insert_threshold = -1)',
            part.name, part.low, part.high);
    END LOOP;
END
$$;

INSERT INTO timeline (at, trace_id, order_id, event, service, step, detail)
SELECT at, CASE WHEN trace_id ~ '^[0-9a-f]{32}$' THEN trace_id::uuid END, order_id,
    CASE WHEN starts_with(event_id, order_id) THEN substr(event_id, length(order_id) + 1) ELSE event_id END,
    service, step, detail
FROM timeline_before;
DROP TABLE timeline_before;

-- A list is made of the newest few orders of each status, so that a rare one is found as soon as a frequent one.
CREATE INDEX orders_of_merchant ON orders (merchant_id, status, id DESC);
DROP INDEX orders_by_merchant;
CREATE INDEX orders_of_customer ON orders (customer_id, status, id DESC);
DROP INDEX orders_by_customer;
-- Nearly all orders are completed, and those are the newest by their ids anyway.
CREATE INDEX orders_not_completed ON orders (status, id DESC) WHERE status <> 'COMPLETED';

-- An order is written once more or twice, within a second. Room in its page keeps the first of these there, with
-- no work for the indexes; the last changes the status, which they hold.
-- Dead rows are cleared by the ten thousand, not by the fifth part of a year.
ALTER TABLE orders SET (
    fillfactor = 75, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT ON timeline TO %I', current_database());
END
$$;
