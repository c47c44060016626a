CREATE TABLE payments (
    id                text PRIMARY KEY,            -- pay_…, sortable by time
    order_id          text NOT NULL UNIQUE,        -- an order is paid once
    merchant_id       text NOT NULL,
    customer_id       text NOT NULL,
    status            text NOT NULL CHECK (status IN ('INITIATED', 'PROCESSING', 'REQUIRES_ACTION', 'AUTHORIZED',
                                                      'CAPTURED', 'SETTLED', 'FAILED', 'VOIDED', 'REFUNDED',
                                                      'UNKNOWN')),
    amount            bigint NOT NULL CHECK (amount > 0),                -- minor units
    amount_captured   bigint NOT NULL DEFAULT 0,
    amount_refunded   bigint NOT NULL DEFAULT 0,
    fee_amount        bigint NOT NULL CHECK (fee_amount >= 0),
    tax_amount        bigint NOT NULL CHECK (tax_amount >= 0),
    currency          text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    payment_method_id text NOT NULL,               -- the PSP's token, never a card number
    psp               text NOT NULL,
    psp_reference     text,                        -- the PSP's id; null until known
    reason            text NOT NULL DEFAULT '',
    decline_code      text NOT NULL DEFAULT '',
    failure_message   text NOT NULL DEFAULT '',
    next_action_type  text NOT NULL DEFAULT '',
    next_action_url   text NOT NULL DEFAULT '',
    attempt           integer NOT NULL CHECK (attempt >= 1),  -- part of the key of the call to the PSP
    look_up_at        timestamptz,                 -- when to ask the PSP, while it is undecided
    look_ups          integer NOT NULL DEFAULT 0,
    correlation_id    text NOT NULL,
    traceparent       text NOT NULL,
    version           bigint NOT NULL CHECK (version >= 1),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount),
    CHECK (fee_amount + tax_amount <= amount),
    CHECK ((amount_captured > 0) = (status IN ('CAPTURED', 'SETTLED', 'REFUNDED'))),
    CHECK (status <> 'CAPTURED' OR psp_reference IS NOT NULL),
    CHECK (look_up_at IS NULL OR status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')),
    UNIQUE (psp, psp_reference)
);
COMMENT ON TABLE payments IS 'One payment an order; on record before the PSP is called.';
CREATE INDEX payments_undecided ON payments (look_up_at) WHERE look_up_at IS NOT NULL;

CREATE TABLE webhooks (
    event_id    text PRIMARY KEY,                  -- the PSP's event id: stored and applied once
    type        text NOT NULL,
    payment_id  text NOT NULL,                     -- empty if it is not about a payment of ours
    payload     bytea NOT NULL,                   -- the exact bytes that were signed
    outcome     text NOT NULL DEFAULT 'applied',
    received_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE webhooks IS 'Events of PSPs with a valid signature, as they came.';

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON payments TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON webhooks TO %I', current_database());
    EXECUTE format('GRANT UPDATE (outcome) ON webhooks TO %I', current_database());
END
$$;
