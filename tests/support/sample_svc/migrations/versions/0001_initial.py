"""The messaging tables and `effects`."""

from kit.store.migrations import run_sql, sql_of

revision = "0001"
down_revision = None

_EFFECTS = """
CREATE TABLE effects (
    order_id text NOT NULL,                     -- whose event had the effect
    times    integer NOT NULL CHECK (times > 0) -- a poisoned test event writes 0
);
DO $$ BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON effects TO %I', current_database());
END $$;
"""


def upgrade() -> None:
    """Make the tables."""
    run_sql(sql_of("kit", "store/sql/messaging.sql"))
    run_sql(sql_of("kit", "store/sql/messaging_grants.sql"))
    run_sql(_EFFECTS)
