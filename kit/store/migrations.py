"""Runs a service's Alembic migrations; by a command, never by a starting service."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import sqlalchemy
from alembic import command, context, op
from alembic.config import Config


def upgrade(package: str, url: str) -> None:
    """Bring the database of a service to the newest version; does nothing if it is there already.

    Args:
        package: of the service, e.g. `order_svc`; its migrations are in `<package>/migrations`.
        url: `postgresql://…` of the role that owns the schema.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(str(files(package))) / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def run_environment() -> None:
    """The body of every `migrations/env.py`: one transaction for all, one runner at a time."""
    url = context.config.attributes["url"].replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=False)
        with context.begin_transaction():
            # Two that start at once wait for each other; the second finds nothing to do.
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(4711)"))
            context.run_migrations()


def sql_of(package: str, name: str) -> str:
    """Return a package's SQL file, e.g. `sql_of("kit", "store/sql/messaging.sql")`."""
    return files(package).joinpath(name).read_text()


def run_sql(text: str) -> None:
    """Run a script of statements in the migration that is under way, exactly as written.

    For `upgrade()` of a revision: `run_sql(sql_of("kit", "store/sql/messaging.sql"))`. Without parameters, so
    that a `%` in it is a `%` and several statements are allowed.
    """
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(text)
