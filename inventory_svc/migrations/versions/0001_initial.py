"""Products, their stock and its log, and reservations."""

from kit.store.migrations import run_sql, sql_of

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    run_sql(sql_of("kit", "store/sql/messaging.sql"))
    run_sql(sql_of("kit", "store/sql/messaging_grants.sql"))
    run_sql(sql_of("inventory_svc", "migrations/0001_initial.sql"))
