CREATE TABLE orders (
    id                text PRIMARY KEY,            -- ord_…, sortable by time
    merchant_id       text NOT NULL,
    customer_id       text NOT NULL,               -- subject of the buyer's token
    status            text NOT NULL CHECK (status IN ('PROCESSING', 'REQUIRES_ACTION', 'IN_REVIEW',
                                                      'COMPLETED', 'FAILED', 'CANCELLED')),
    reason            text NOT NULL DEFAULT '',    -- why it failed or was cancelled
    lines             jsonb NOT NULL CHECK (jsonb_array_length(lines) BETWEEN 1 AND 100),
    currency          text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    total_amount      bigint NOT NULL CHECK (total_amount BETWEEN 1 AND 99999999),  -- minor units, gross
    tax_amount        bigint NOT NULL CHECK (tax_amount BETWEEN 0 AND total_amount),
    payment_method_id text NOT NULL,               -- the PSP's token, never a card number
    receipt_email     text NOT NULL,
    shipping_address  jsonb NOT NULL,
    attribution       jsonb NOT NULL,
    payment_id        text NOT NULL DEFAULT '',
    journal_id        text NOT NULL DEFAULT '',    -- set once the books know of it
    stock_committed   boolean NOT NULL DEFAULT false,
    next_action_type  text NOT NULL DEFAULT '',
    next_action_url   text NOT NULL DEFAULT '',
    correlation_id    text NOT NULL,
    traceparent       text NOT NULL,
    version           bigint NOT NULL CHECK (version >= 1),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    CHECK ((ended_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'CANCELLED'))),
    CHECK (status <> 'COMPLETED' OR (payment_id <> '' AND journal_id <> '' AND stock_committed)),
    CHECK ((status IN ('FAILED', 'CANCELLED')) = (reason <> '')),
    CHECK ((status = 'REQUIRES_ACTION') = (next_action_type <> '')),
    CHECK (next_action_url = '' OR next_action_type <> '')  -- some actions have no page
);
COMMENT ON TABLE orders IS
    'One purchase each. Lines are a document: they never change and are never read without their order.';
-- Orders under way: for admission, for the sweeper, and for whoever looks for what is stuck.
CREATE INDEX orders_open ON orders (created_at) WHERE status = 'PROCESSING';
CREATE INDEX orders_by_customer ON orders (customer_id, id DESC);
CREATE INDEX orders_by_merchant ON orders (merchant_id, id DESC);

CREATE TABLE timeline (
    order_id text NOT NULL,
    event_id text NOT NULL,                        -- event or request behind the step
    at       timestamptz NOT NULL,
    service  text NOT NULL,
    step     text NOT NULL,                        -- noun.verbed
    detail   text NOT NULL,                        -- one sentence for people
    trace_id text NOT NULL,
    PRIMARY KEY (order_id, event_id)
);
COMMENT ON TABLE timeline IS 'Each step of each order, as the order service saw it.';

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON orders TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON timeline TO %I', current_database());
END
$$;
