-- What a service's own role may do with the messaging tables. Run by each service's first migration, after
-- messaging.sql. The role has the name of the database.

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON inbox TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON dead_letters TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON idempotency_keys TO %I', current_database());
END
$$;
