"""Which revisions a service's database has, and in what order, follows from its folders."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.store import migrations


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def write(path: str, text: str = "") -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    # Another test's, in another folder.
    monkeypatch.delitem(sys.modules, "toy_svc", raising=False)
    write("toy_svc/__init__.py")
    write("toy_svc/migrations/0001_initial/up.sql")
    return write


def test_revisions_follow_each_other_and_the_first_follows_the_messaging_tables(
    write: Callable[..., None],
) -> None:
    write("toy_svc/migrations/0002_more/up.sql")
    write("toy_svc/migrations/functions/add.sql")
    kit = [revision for revision in migrations.revisions("toy_svc") if revision.id.startswith("kit_")]
    first, second = migrations.revisions("toy_svc")[len(kit) :]
    assert (first.id, first.follows, first.needs) == ("0001", None, "kit_0001")
    assert (second.id, second.follows, second.needs) == ("0002", "0001", None)
    assert [revision.follows for revision in kit] == [None, *(revision.id for revision in kit[:-1])]
    *of_all, own = [file.name for file in migrations.functions("toy_svc")]
    assert own == "add.sql"
    assert "make_partitions.sql" in of_all


def test_a_revision_may_need_a_later_one_of_the_messaging_tables(write: Callable[..., None]) -> None:
    write("toy_svc/migrations/0002_more/up.sql", "-- Needs: aggregate\nSELECT 1")
    assert [each.needs for each in migrations.revisions("toy_svc")][-2:] == ["kit_0001", "kit_0002"]


@pytest.mark.parametrize("second", ["0001_of_another_branch", "0003_too_far"])
def test_a_number_that_is_taken_or_too_high_is_refused(write: Callable[..., None], second: str) -> None:
    write(f"toy_svc/migrations/{second}/up.sql")
    with pytest.raises(ValueError, match=f"{second}: .* should be 0002_"):
        migrations.revisions("toy_svc")
