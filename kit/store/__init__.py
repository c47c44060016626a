"""Postgres: connections, batches that share a commit, migrations."""
