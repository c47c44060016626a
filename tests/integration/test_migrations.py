"""Each revision of each database: explained, tested on rows as they were, and done once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy.exc

from kit.store import migrations
from kit.store.migrations import Revision
from roster import ROSTER
from tests.support.databases import ServiceDatabase
from tests.support.stores import Stores

EACH_REVISION: Final = pytest.mark.parametrize(
    ("service", "revision"),
    [
        pytest.param(service, revision, id=f"{service}-{revision.id}")
        for service in ROSTER.packages
        for revision in migrations.revisions(service)
    ],
)

# What runs with its owner's rights must not be led astray by its caller, nor called by everybody.
UNGUARDED: Final = """
SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
    AND (has_function_privilege('public', oid, 'EXECUTE')
        OR NOT EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%'))
"""

EmptyDatabase = Callable[[str], ServiceDatabase]


def missing(revision: Revision) -> list[str]:
    """Return which files a revision has not, or has with nothing in them."""
    wanted = ["up.sql", "note.md", "after.sql"]
    if revision.follows is not None:
        wanted.append("before.sql")
    files = [revision.folder / name for name in wanted]
    return [file.name for file in files if not file.is_file() or not file.read_text().strip()]


def run(database: ServiceDatabase, file: Path) -> list[tuple[Any, ...]]:
    """Run a file as the owner of the tables and return what it finds."""
    with psycopg.connect(database.owner_url) as connection:
        cursor = connection.execute(file.read_bytes())
        return cursor.fetchall() if cursor.description else []


def finds_fault(database: ServiceDatabase, file: Path) -> bool:
    """Return whether a query finds something, or not even the columns it asks for."""
    try:
        return run(database, file) != []
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
        return True


@EACH_REVISION
def test_a_revision_has_a_note_and_tests(service: str, revision: Revision) -> None:
    assert missing(revision) == [], "kit/store/migrations tells what belongs in it"


def test_a_revision_without_them_is_refused(tmp_path: Path) -> None:
    (tmp_path / "up.sql").write_text("SELECT 1")
    (tmp_path / "note.md").write_text("\n")
    assert missing(Revision("0001", tmp_path)) == ["note.md", "after.sql"]
    assert missing(Revision("0002", tmp_path, "0001")) == ["note.md", "after.sql", "before.sql"]


@EACH_REVISION
def test_a_revision_leaves_nothing_wrong_with_what_was_there(
    service: str, revision: Revision, empty_database: EmptyDatabase
) -> None:
    database = empty_database(service)
    if revision.follows is not None:
        migrations.upgrade(service, database.owner_url, revision.follows)
        run(database, revision.folder / "before.sql")
    assert finds_fault(database, revision.folder / "after.sql"), "it would not notice if nothing was done"
    migrations.upgrade(service, database.owner_url, revision.id)
    assert run(database, revision.folder / "after.sql") == []
    migrations.upgrade(service, database.owner_url)


@pytest.mark.parametrize("service", ROSTER.packages)
def test_migrating_twice_changes_nothing(service: str, empty_database: EmptyDatabase, stores: Stores) -> None:
    database = empty_database(service)
    migrations.upgrade(service, database.owner_url)
    once = stores.postgres.dump(database.name)
    migrations.upgrade(service, database.owner_url)
    assert stores.postgres.dump(database.name) == once


@pytest.mark.parametrize("service", ROSTER.packages)
def test_a_database_that_grew_is_like_a_new_one(
    service: str, empty_database: EmptyDatabase, stores: Stores
) -> None:
    new, grown = empty_database(service), empty_database(service)
    migrations.upgrade(service, new.owner_url)
    # The service's first, then the kit's: those of another line may come before or after.
    for revision in reversed(migrations.revisions(service)):
        migrations.upgrade(service, grown.owner_url, revision.id)
    migrations.upgrade(service, grown.owner_url)
    named_alike = [line.replace(grown.name, new.name) for line in stores.postgres.dump(grown.name)]
    assert named_alike == stores.postgres.dump(new.name)


@pytest.mark.parametrize("service", ROSTER.packages)
def test_the_functions_are_those_of_the_files(service: str, empty_database: EmptyDatabase) -> None:
    database = empty_database(service)
    migrations.upgrade(service, database.owner_url)
    with psycopg.connect(database.owner_url) as connection:
        names = connection.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert sorted(name for (name,) in names) == sorted(f.stem for f in migrations.functions(service))
        assert connection.execute(UNGUARDED).fetchall() == []


def test_a_failed_function_takes_the_revisions_back_with_it(
    empty_database: EmptyDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = empty_database("order_svc")
    broken = tmp_path / "broken.sql"
    broken.write_text("CREATE FUNCTION broken() RETURNS text LANGUAGE sql AS 'SELECT absent()'")
    monkeypatch.setattr(migrations, "functions", lambda _: [broken])
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="absent"):
        migrations.upgrade("order_svc", database.owner_url)
    with psycopg.connect(database.owner_url) as connection:
        tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(tables).fetchall() == []
