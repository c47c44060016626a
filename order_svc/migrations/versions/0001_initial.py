"""Orders, their timelines, and the messaging tables."""

from kit.store.migrations import run_sql, sql_of

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    run_sql(sql_of("kit", "store/sql/messaging.sql"))
    run_sql(sql_of("order_svc", "migrations/0001_initial.sql"))
    run_sql(sql_of("kit", "store/sql/messaging_grants.sql"))
