"""Alembic's entry; see `kit.migrations`."""

from kit.migrations import run_environment

run_environment()
