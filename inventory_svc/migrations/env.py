"""Alembic's entry."""

from kit.store import migrations

migrations.run_environment()
