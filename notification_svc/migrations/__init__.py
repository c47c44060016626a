"""Alembic migrations of `florin_notification`."""
