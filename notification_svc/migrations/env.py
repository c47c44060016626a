"""Alembic's entry."""

from kit import migrations

migrations.run_environment()
