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


def test_a_closed_folder_on_the_way_is_seen(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    assert not privilege.can_reach(closed / "checkout", SOMEBODY)
    owner = pwd.struct_passwd(("me", "x", closed.stat().st_uid, closed.stat().st_gid, "", "/", "/bin/sh"))
    assert privilege.can_reach(closed / "checkout", owner)
