"""The books, the functions that write and check them, and the messaging tables."""

import sqlalchemy
from alembic import op

from kit.store.migrations import run_sql, sql_of
from kit.values.money import exponent, known_currencies

revision = "0001"
down_revision = None

# Loyalty points: no currency of any state, counted in whole points.
_POINTS = {"code": "PTS", "exponent": 0}


def upgrade() -> None:
    """Make the tables and functions, and fill in currencies and chart."""
    run_sql(sql_of("kit", "store/sql/messaging.sql"))
    run_sql(sql_of("kit", "store/sql/messaging_grants.sql"))
    run_sql(sql_of("ledger_svc", "migrations/0001_tables.sql"))
    currencies = sqlalchemy.table(
        "currencies", sqlalchemy.column("code"), sqlalchemy.column("exponent", sqlalchemy.SmallInteger)
    )
    op.bulk_insert(
        currencies,
        [{"code": code, "exponent": exponent(code)} for code in sorted(known_currencies())] + [_POINTS],
    )
    for name in ("chart", "posting", "closing", "grants"):
        run_sql(sql_of("ledger_svc", f"migrations/0001_{name}.sql"))
