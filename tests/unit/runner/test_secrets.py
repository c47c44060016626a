"""Secrets: made once, for their owner's eyes, and never made up again."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner import secrets
from runner.settings import Settings
from terminal.errors import CommandError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_secrets_are_made_once(settings: Settings) -> None:
    first = secrets.ensure(settings)
    key = secrets.private_key_file(settings).read_bytes()
    assert secrets.ensure(settings) == first
    assert secrets.private_key_file(settings).read_bytes() == key


def test_two_systems_share_no_secret(settings: Settings, tmp_path: Path) -> None:
    here = secrets.ensure(settings)
    there = secrets.ensure(Settings(data_dir=tmp_path / "other"))
    assert not set(here.postgres_passwords.values()) & set(there.postgres_passwords.values())
    assert here.psp_webhook_secret != there.psp_webhook_secret


def test_only_the_owner_can_read_them(settings: Settings) -> None:
    secrets.ensure(settings)
    for path in (secrets.secrets_file(settings), secrets.private_key_file(settings)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_public_key_file_holds_nothing_private(settings: Settings) -> None:
    secrets.ensure(settings)
    assert '"d"' not in secrets.public_keys_file(settings).read_text()


def test_they_do_not_show_in_logs(settings: Settings) -> None:
    found = secrets.ensure(settings)
    assert found.psp_api_key not in repr(found)
    assert found.psp_api_key not in str(found)


def test_a_damaged_file_is_refused_with_the_way_out(settings: Settings) -> None:
    secrets.ensure(settings)
    secrets.secrets_file(settings).write_text("{")
    with pytest.raises(CommandError) as refused:
        secrets.ensure(settings)
    assert "florin reset" in refused.value.way_out


def test_lost_passwords_are_not_replaced_while_postgres_knows_the_old_ones(
    settings: Settings,
) -> None:
    secrets.ensure(settings)
    (settings.data_dir / "postgres.initialised").touch()
    secrets.secrets_file(settings).unlink()
    with pytest.raises(CommandError, match="secrets"):
        secrets.ensure(settings)
