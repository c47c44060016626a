-- Tables that every service has in its own database.

CREATE TABLE outbox (
    event_id       text PRIMARY KEY,            -- evt_…, also the CloudEvents id and the first Nats-Msg-Id
    type           text NOT NULL,               -- e.g. stock.reserved
    aggregate_id   text NOT NULL,               -- order the event belongs to; decides the shard
    payload        bytea NOT NULL,              -- the protobuf message
    correlation_id text NOT NULL,
    traceparent    text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    next_send_at   timestamptz NOT NULL,        -- sent (again) from here on, until all consumers confirmed
    sends          integer NOT NULL DEFAULT 1 CHECK (sends >= 1)
);
COMMENT ON TABLE outbox IS
    'Events whose consumers have not all confirmed. A row is deleted when the last of them has.';
CREATE INDEX outbox_due ON outbox (next_send_at);
-- Rows live for a fraction of a second, so the dead ones are cleared early.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

CREATE TABLE inbox (
    consumer    text NOT NULL,                  -- service that acted on the event
    event_id    text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
-- Rows come in the order of their time, so the smallest kind of index finds the old ones.
CREATE INDEX inbox_age ON inbox USING brin (received_at);
COMMENT ON TABLE inbox IS 'One row per effect of an event; makes every handler happen once.';

CREATE TABLE dead_letters (
    id              text PRIMARY KEY,           -- dl_…
    consumer        text NOT NULL,
    event_id        text NOT NULL,
    type            text NOT NULL,
    aggregate_id    text NOT NULL,
    payload         bytea NOT NULL,
    headers         jsonb NOT NULL,
    error           text NOT NULL,              -- redacted
    attempts        integer NOT NULL CHECK (attempts >= 1),
    created_at      timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,                -- set when it was replayed or discarded
    outcome         text CHECK (outcome IN ('replayed', 'discarded')),
    UNIQUE (consumer, event_id),
    CHECK ((acknowledged_at IS NULL) = (outcome IS NULL))
);
COMMENT ON TABLE dead_letters IS 'Events that could not be handled; each waits for a person.';

CREATE TABLE idempotency_keys (
    principal   text NOT NULL,                  -- role and subject of the caller
    method      text NOT NULL,                  -- full gRPC method
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),  -- SHA-256 of the request
    response    bytea NOT NULL,                 -- the whole answer, replayed byte for byte
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (principal, method, key)
);
COMMENT ON TABLE idempotency_keys IS 'Written in the same transaction as the effect it answers for.';
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- What the service's own role may do with them. It has the name of the database.
DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON inbox TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON dead_letters TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON idempotency_keys TO %I', current_database());
END
$$;
