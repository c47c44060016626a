"""Migrations are run again when, and only when, something in them has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner import migrations
from runner.spec import StepFailed


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    write("shop_svc/__init__.py", "")
    write("shop_svc/domain.py", "")
    write("shop_svc/migrations/0001_initial.sql", "CREATE TABLE orders ()")
    return write


def test_a_changed_or_new_migration_changes_the_fingerprint(
    write: Callable[[str, str], None],
) -> None:
    first = migrations.digest("shop_svc")
    write("shop_svc/domain.py", "TAX = 19")
    assert migrations.digest("shop_svc") == first
    write("shop_svc/migrations/0002_more.sql", "CREATE TABLE lines ()")
    second = migrations.digest("shop_svc")
    assert second != first
    write("shop_svc/migrations/0002_more.sql", "CREATE TABLE order_lines ()")
    assert migrations.digest("shop_svc") not in {first, second}


def test_a_service_that_is_not_installed_is_named() -> None:
    with pytest.raises(StepFailed, match="absent_svc"):
        migrations.digest("absent_svc")
