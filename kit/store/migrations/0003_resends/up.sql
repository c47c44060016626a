-- What is not confirmed in time is owed to some consumers and not to others.

ALTER TABLE outbox RENAME COLUMN next_send_at TO overdue_at;
ALTER TABLE outbox ALTER COLUMN overdue_at DROP NOT NULL;
ALTER TABLE outbox DROP COLUMN sends;
COMMENT ON COLUMN outbox.overdue_at IS
    'When any replica notes in resends who has not confirmed the event; NULL from then on.';
COMMENT ON COLUMN outbox.aggregate IS 'What the event belongs to, kind and id, e.g. order/ord_….';
DROP INDEX outbox_due;
CREATE INDEX outbox_overdue ON outbox (overdue_at) WHERE overdue_at IS NOT NULL;

CREATE TABLE resends (
    event_id     text NOT NULL,         -- in outbox; no reference, or deleting an event would look here one by one
    consumer     text NOT NULL,         -- who has not confirmed it
    sends        integer NOT NULL DEFAULT 1 CHECK (sends >= 1),  -- to this consumer, with the first one to all
    next_send_at timestamptz NOT NULL,  -- sent again from here on, when the consumer is there
    owed_since   timestamptz NOT NULL,  -- when it was emitted, or a person had it sent again
    parked_at    timestamptz,           -- given up until a person has it sent again
    PRIMARY KEY (event_id, consumer)
);
COMMENT ON TABLE resends IS
    'Who has not confirmed which overdue event. When the last row of an event goes, the event goes.';
CREATE INDEX resends_due ON resends (consumer, next_send_at) WHERE parked_at IS NULL;
CREATE INDEX resends_age ON resends (owed_since) WHERE parked_at IS NULL;
CREATE INDEX resends_parked ON resends (consumer) WHERE parked_at IS NOT NULL;
-- Rows of a consumer that was away go all at once, as soon as it is back.
ALTER TABLE resends SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON resends TO %I', current_database());
END
$$;
