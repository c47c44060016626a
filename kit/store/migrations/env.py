"""Alembic's entry, the same for every service; `kit.store.migrations.upgrade` opens the transaction."""

from alembic import context
from alembic.script.revision import RevisionMap

given = context.config.attributes
context.script.revision_map = RevisionMap(lambda: given["scripts"])
context.configure(connection=given["connection"])
context.run_migrations(connection=given["connection"])
