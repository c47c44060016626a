"""Payments, webhooks, and the messaging tables."""

from alembic import op

from kit.migrations import sql_of

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(sql_of("kit", "sql/messaging.sql"))
    op.execute(sql_of("payment_svc", "migrations/0001_initial.sql"))
    op.execute(sql_of("kit", "sql/messaging_grants.sql"))
