CREATE TABLE effects (
    order_id text NOT NULL,                     -- whose event had the effect
    times    integer NOT NULL CHECK (times > 0) -- a poisoned test event writes 0
);
DO $$ BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON effects TO %I', current_database());
END $$;
