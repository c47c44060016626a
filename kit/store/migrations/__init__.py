"""Brings a service's database to its newest version; by a command, never by a starting service.

Tables are made and changed by revisions. Each is a folder, e.g. `order_svc/migrations/0002_stock_sold/`:

- `up.sql`, what it does;
- `note.md`, for whoever runs it: what changes and why, how long that takes, what it locks, and whether older
  code works on the result;
- `before.sql` and `after.sql`, its test (`tests/integration/test_migrations.py`): rows as they were, and a
  query for what is wrong afterwards. No row is the proof.

A revision that was released stays as it is. The messaging tables, which every service has, have revisions of
their own beside this file; the first of a service follows the first of those. One that needs a later one of
those begins with its name, without the number: `-- Needs: retention`.

Functions are no part of revisions: `<service>/migrations/functions/`, and the folder of that name beside this
file, have each once, in a file of its name and with who may call it, and all are made again after the
revisions. So a revision calls none of them, and one
that changes a function's arguments or result drops it first; its file makes it anew. A trigger is made with
its table, on a function that is only declared there.

Alembic decides what is to be done and keeps what was done. It gets the folders in place of modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import Script

# Any number that nobody else locks in a service's database.
_LOCK: Final = 4711

_HERE: Final = Path(__file__).parent

NEWEST: Final = "heads"

_NEEDS: Final = "-- Needs: "

# All of a table at once: nobody waits for one that is new.
_FIRST_PARTITIONS: Final = (
    "SELECT make_partitions(name, 1000) FROM retention WHERE partition_days IS NOT NULL ORDER BY name"
)


@dataclass(frozen=True, slots=True)
class Revision:
    """One folder of a migration.

    Attributes:
        id: as Alembic notes it in the database: `0002`, or `kit_0002` for the messaging tables.
        follows: the one before it, if it is not the first.
        needs: one of the messaging tables that has to be there.
    """

    id: str
    folder: Path
    follows: str | None = None
    needs: str | None = None


def upgrade(package: str, url: str, to: str = NEWEST) -> None:
    """Bring the database of a service to a revision; does nothing new if it is there already.

    All of it is one transaction. Two that start at once wait for each other.

    Args:
        package: of the service, e.g. `order_svc`.
        url: `postgresql://…` of the role that owns the schema.
        to: a revision's id. Functions are made for the newest tables only.
    """
    # By psycopg itself, which knows addresses of several hosts, and of them takes the one that takes writes.
    connect = partial(psycopg.connect, url, target_session_attrs="read-write")
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=connect, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(_LOCK)))
        config = Config()
        config.set_main_option("script_location", str(_HERE))
        config.attributes.update(connection=connection, scripts=[*map(_script, revisions(package))])
        command.upgrade(config, to)
        if to == NEWEST:
            for function in functions(package):
                run(function, connection)
            # A table that is partitioned by time begins with the partitions of its first days.
            connection.exec_driver_sql(_FIRST_PARTITIONS)


def revisions(package: str) -> list[Revision]:
    """Return what a service's database is made of: the kit's revisions, then its own, oldest first."""
    kit = list(_line(_HERE, [], prefix="kit_"))
    return [*kit, *_line(_folder(package), kit)]


def functions(package: str) -> Sequence[Path]:
    """Return the files of a service's functions: those that all have, then its own."""
    return [file for folder in (_HERE, _folder(package)) for file in sorted(folder.glob("functions/*.sql"))]


def run(file: Path, connection: sqlalchemy.Connection) -> None:
    """Run a file of statements exactly as written: without parameters, so that a `%` in it is a `%`."""
    connection.exec_driver_sql(file.read_text(), execution_options={"no_parameters": True})


def _folder(package: str) -> Path:
    return Path(str(files(package))) / "migrations"


def _line(parent: Path, others: Sequence[Revision], *, prefix: str = "") -> Iterator[Revision]:
    """Yield the revisions in one folder, each following the one before.

    Args:
        others: the line that is needed: its first by our first, the one that it names by any other.
    """
    before = None
    for number, folder in enumerate(sorted(parent.glob("[0-9]*_*")), start=1):
        if not folder.name.startswith(f"{number:04}_"):
            raise ValueError(f"{folder}: revisions count from 0001 by one, so this should be {number:04}_…")
        revision = Revision(
            f"{prefix}{number:04}", folder, before, _needed(folder, others, is_first=not before)
        )
        before = revision.id
        yield revision


def _needed(folder: Path, others: Sequence[Revision], *, is_first: bool) -> str | None:
    first_line, _, _ = (folder / "up.sql").read_text().partition("\n")
    if first_line.startswith(_NEEDS):
        name = first_line.removeprefix(_NEEDS)
        return next(other.id for other in others if other.folder.name[5:] == name)
    return others[0].id if others and is_first else None


def _script(revision: Revision) -> Script:
    """Return a revision as Alembic has it: a module with `down_revision`, `depends_on` and `upgrade`."""
    module = ModuleType(revision.id, revision.folder.name)
    module.__dict__.update(
        down_revision=revision.follows,
        depends_on=revision.needs,
        upgrade=partial(run, revision.folder / "up.sql"),
    )
    return Script(module, revision.id, revision.folder)
