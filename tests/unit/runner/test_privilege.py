"""How programs are tied to the supervisor and kept from being root."""

from __future__ import annotations

import pwd
import signal
from pathlib import Path

import pytest

from runner import privilege

SOMEBODY = pwd.struct_passwd(("somebody", "x", 4711, 4711, "", "/", "/bin/sh"))

needs_setpriv = pytest.mark.skipif(
    privilege.setpriv() is None, reason="setpriv (util-linux) is not installed"
)


@needs_setpriv
def test_a_program_gets_its_signal_when_we_die() -> None:
    wrapped = privilege.confined(["postgres"], death_signal=signal.SIGINT)
    assert "--pdeathsig INT" in " ".join(wrapped)
    assert wrapped[-1] == "postgres"


def test_without_setpriv_the_program_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "setpriv", lambda: None)
    assert privilege.confined(["nats"], death_signal=signal.SIGKILL) == ("nats",)


@needs_setpriv
def test_another_user_gets_no_capabilities_where_the_way_is_open(tmp_path: Path) -> None:
    wrapped = privilege.confined(
        ["postgres"], death_signal=signal.SIGINT, user=SOMEBODY, reaches=[Path("/usr/bin")]
    )
    assert "--reuid=4711" in wrapped
    assert not any("caps" in option for option in wrapped)


@pytest.fixture
def closed_home(tmp_path: Path) -> Path:
    """A folder of mode 700 on an open way, like a home directory."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@needs_setpriv
def test_another_user_keeps_the_capabilities_to_pass_a_closed_folder(
    closed_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privilege, "_held_capabilities", lambda: ["dac_override"])
    wrapped = privilege.confined(
        ["postgres"], death_signal=signal.SIGINT, user=SOMEBODY, reaches=[closed_home / "data"]
    )
    assert "--ambient-caps=+dac_override" in wrapped
    # Without it access(2) says no to whoever is not root, whatever they may do.
    assert "--securebits=+no_setuid_fixup" in wrapped


def test_a_closed_folder_on_the_way_is_seen(closed_home: Path) -> None:
    found = closed_home.stat()
    owner = pwd.struct_passwd(("me", "x", found.st_uid, found.st_gid, "", "/", "/bin/sh"))
    assert privilege.closed_folder(closed_home / "checkout" / "not there yet", SOMEBODY) is not None
    assert privilege.closed_folder(closed_home / "checkout", owner) is None


def test_a_link_into_a_closed_folder_is_seen(closed_home: Path, tmp_path: Path) -> None:
    (closed_home / "data").mkdir()
    link = tmp_path / "link"
    link.symlink_to(closed_home / "data")
    owner = pwd.struct_passwd(("me", "x", tmp_path.stat().st_uid, 0, "", "/", "/bin/sh"))
    closed_home.chmod(0o600)
    assert privilege.closed_folder(link / "postgres", owner) == closed_home
    closed_home.chmod(0o700)


def test_an_ordinary_user_passes_where_they_pass(closed_home: Path) -> None:
    privilege.require_passage(None, [closed_home / "data"])
