"""Alembic's entry; see `kit.store.migrations`."""

from kit.store.migrations import run_environment

run_environment()
