-- What is done with a payment at PSPs, try by try. An operation is all attempts with its number: it needs no row
-- of its own while there is nothing that only the operation knows.
CREATE TABLE attempts (
    payment_id       text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('CHARGE')),
    number           smallint NOT NULL CHECK (number >= 1),     -- with payment and kind: the key at the PSP
    operation        smallint NOT NULL CHECK (operation >= 1),  -- which of the payment's operations it tries
    amount           bigint NOT NULL CHECK (amount > 0),        -- minor units of the payment's currency
    psp              text NOT NULL CHECK (psp <> ''),           -- whom it was made at: nobody else is asked
    state            text NOT NULL CHECK (state IN ('OPEN', 'SPENT', 'CLOSING', 'DONE', 'ENDED')),
    psp_reference    text,                                      -- the PSP's id; null until known
    reason           text NOT NULL DEFAULT '',
    decline_code     text NOT NULL DEFAULT '',
    message          text NOT NULL DEFAULT '',
    next_action_type text NOT NULL DEFAULT '',
    next_action_url  text NOT NULL DEFAULT '',
    look_up_at       timestamptz,                               -- when to ask the PSP, while it is undecided
    look_ups         integer NOT NULL DEFAULT 0,
    started_at       timestamptz NOT NULL,
    PRIMARY KEY (payment_id, kind, number),
    CHECK (state <> 'DONE' OR psp_reference IS NOT NULL),
    CHECK (look_up_at IS NULL OR state IN ('OPEN', 'SPENT', 'CLOSING'))
);
COMMENT ON TABLE attempts IS 'Tries at PSPs: each on record before its call, and decided once.';

INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, psp_reference, reason, decline_code,
    message, next_action_type, next_action_url, look_up_at, look_ups, started_at)
SELECT id, 'CHARGE', attempt, 1, amount, psp,
    CASE WHEN amount_captured > 0 THEN 'DONE'
         -- A decline left its intent payable at the PSP: it is closed there now.
         WHEN status = 'FAILED' AND psp_reference IS NOT NULL THEN 'CLOSING'
         WHEN status IN ('FAILED', 'VOIDED') THEN 'ENDED'
         ELSE 'OPEN' END,
    psp_reference, reason, decline_code, failure_message, next_action_type, next_action_url,
    -- A day is long enough for the PSP not to notice.
    CASE WHEN status = 'FAILED' AND psp_reference IS NOT NULL THEN now() + random() * interval '1 day'
         ELSE look_up_at END,
    look_ups, created_at
FROM payments;

-- At most one charge of a payment has taken money, or may.
CREATE UNIQUE INDEX attempts_one_charge ON attempts (payment_id) WHERE kind = 'CHARGE' AND state <> 'ENDED';
-- What one PSP calls by one name belongs to one payment.
CREATE UNIQUE INDEX attempts_reference ON attempts (psp_reference, psp, kind) WHERE psp_reference IS NOT NULL;
CREATE INDEX attempts_undecided ON attempts (look_up_at) WHERE look_up_at IS NOT NULL;

-- What was said of the one attempt goes with it; its checks and indexes go with their columns.
ALTER TABLE payments
    DROP COLUMN psp, DROP COLUMN psp_reference, DROP COLUMN reason, DROP COLUMN decline_code,
    DROP COLUMN failure_message, DROP COLUMN next_action_type, DROP COLUMN next_action_url, DROP COLUMN attempt,
    DROP COLUMN look_up_at, DROP COLUMN look_ups;

-- Two PSPs may call their events alike.
ALTER TABLE webhooks ADD COLUMN psp text NOT NULL DEFAULT 'stripe';
ALTER TABLE webhooks ALTER COLUMN psp DROP DEFAULT;
ALTER TABLE webhooks DROP CONSTRAINT webhooks_pkey, ADD PRIMARY KEY (event_id, psp);

CREATE TABLE decisions (
    payment_id  text NOT NULL,
    number      smallint NOT NULL CHECK (number >= 1),                   -- of the charge that was undecided
    outcome     text NOT NULL CHECK (outcome IN ('CAPTURED', 'FAILED')),
    reason      text NOT NULL CHECK (reason <> ''),
    decided_by  text NOT NULL CHECK (decided_by <> ''),                  -- role and subject of the caller
    psp_said    text NOT NULL,                                           -- when it was asked, just before
    against_psp boolean NOT NULL,
    decided_at  timestamptz NOT NULL,
    PRIMARY KEY (payment_id, number)                                     -- an attempt is decided once
);
COMMENT ON TABLE decisions IS 'What people have settled in place of a PSP, and why. Never changed.';

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON attempts TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON decisions TO %I', current_database());
END
$$;
