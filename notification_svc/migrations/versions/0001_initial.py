"""The messaging tables and the deliveries."""

from kit.store.migrations import run_sql, sql_of

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables and grant the service what it needs."""
    run_sql(sql_of("kit", "store/sql/messaging.sql"))
    run_sql(sql_of("kit", "store/sql/messaging_grants.sql"))
    run_sql(sql_of("notification_svc", "migrations/0001_initial.sql"))
