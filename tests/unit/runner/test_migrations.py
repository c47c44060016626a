"""Migrations are run again when, and only when, something in them has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner import migrations
from runner.spec import SetupFailed


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    write("shop_svc/__init__.py", "")
    write("shop_svc/domain.py", "")
    write("shop_svc/migrations/0001_initial/up.sql", "CREATE TABLE orders ()")
    return write


def test_a_changed_or_new_migration_changes_the_fingerprint(
    write: Callable[[str, str], None],
) -> None:
    first = migrations.digest("shop_svc")
    write("shop_svc/domain.py", "TAX = 19")
    assert migrations.digest("shop_svc") == first
    write("shop_svc/migrations/functions/sell.sql", "CREATE FUNCTION sell()")
    second = migrations.digest("shop_svc")
    assert second != first
    write("shop_svc/migrations/functions/sell.sql", "CREATE FUNCTION sell(integer)")
    assert migrations.digest("shop_svc") not in {first, second}


def test_so_does_a_change_of_the_messaging_tables(
    write: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_folder", lambda package: tmp_path / package)
    first = migrations.digest("shop_svc")
    write("kit/store/migrations/0001_messaging/up.sql", "CREATE TABLE outbox ()")
    assert migrations.digest("shop_svc") != first


def test_a_service_that_is_not_installed_is_named() -> None:
    with pytest.raises(SetupFailed, match="absent_svc"):
        migrations.digest("absent_svc")
