CREATE TABLE deliveries (
    id             text PRIMARY KEY,              -- dlv_…; names the message, so a second send is recognised
    order_id       text NOT NULL,                 -- what the message is about
    channel        text NOT NULL CHECK (channel IN ('email')),
    template       text NOT NULL CHECK (template IN ('order_completed', 'order_failed')),
    recipient      text NOT NULL,                 -- as the buyer gave it
    facts          jsonb NOT NULL,                -- what the template needs, as it was when the order ended
    correlation_id text NOT NULL,
    traceparent    text NOT NULL,
    status         text NOT NULL CHECK (status IN ('PENDING', 'SENT', 'FAILED')),
    attempts       integer NOT NULL CHECK (attempts >= 0), -- begun, the one under way included
    last_error     text NOT NULL,                 -- of the last attempt; empty if all is well
    requested_at   timestamptz NOT NULL,
    due_at         timestamptz NOT NULL,          -- PENDING: tried (again) from here on; a claim pushes it
    sent_at        timestamptz,
    -- An order that ends is told about once, however often we hear of it.
    CONSTRAINT deliveries_once UNIQUE (order_id, template, channel),
    CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CHECK (status <> 'SENT' OR last_error = ''),
    CHECK (status <> 'FAILED' OR last_error <> '')
);
COMMENT ON TABLE deliveries IS 'Messages to buyers: at least once each, and what became of them.';
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'PENDING';

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON deliveries TO %I', current_database());
END
$$;
