"""Postgres where only root may go: programs and data below a folder of mode 700, as root's own home is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from runner import control, doctor, postgres, wheels
from runner.errors import CommandError
from runner.privilege import is_root, setpriv
from runner.settings import Settings, checkout_root
from runner.testing import running_system
from tests.support.ports import system_settings

pytestmark = pytest.mark.skipif(
    not is_root(), reason="only root's Postgres runs as somebody else, so only root can close a folder to it"
)

ONLY: Final = ("postgres",)


@pytest.fixture
def closed_home(tmp_path: Path) -> Path:
    """A folder of mode 700 with a copy of Postgres in it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = wheels.postgres_server(Settings())
    package = program.parents[2]
    # The wheel's libraries are found beside its package.
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(program.parents[1], home / package.name / program.parents[1].name, symlinks=True)
    shutil.copytree(libraries, home / libraries.name)
    return home


def postgres_below(home: Path) -> Path:
    """The folder of the copied programs."""
    return next(home.glob("*/*/bin/initdb")).parent


def test_postgres_runs_as_somebody_else_who_may_pass_and_nothing_more(closed_home: Path) -> None:
    with (
        system_settings(closed_home / "data", postgres_bin=postgres_below(closed_home)) as settings,
        running_system(settings, only=ONLY) as system,
    ):
        with psycopg.connect(postgres.superuser_url(settings, system.secrets)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server = psutil.Process(system.process("postgres").pid)
        assert server.uids().real == server.uids().effective != 0
        assert _capabilities(server) <= {"dac_override", "dac_read_search"}
        assert system.kill_and_wait("postgres").healthy


def test_nothing_outlives_a_killed_supervisor_there(closed_home: Path) -> None:
    with system_settings(closed_home / "data", postgres_bin=postgres_below(closed_home)) as settings:
        control.start(settings, only=ONLY, dies_with_caller=True)
        try:
            state = control.running(settings)
            assert state is not None
            supervisor = psutil.Process(state.supervisor_pid)
            everything = [supervisor, *supervisor.children(recursive=True)]
            os.kill(supervisor.pid, signal.SIGKILL)
            _, alive = psutil.wait_procs(everything, timeout=30)
            assert not alive
        finally:
            control.stop(settings)


def test_where_the_capabilities_cannot_be_handed_on_it_is_said_before_anything_starts(
    closed_home: Path,
) -> None:
    asked = _as_a_lesser_root("-m", "runner.privilege", str(closed_home / ".venv"))
    assert asked.returncode == 1
    assert "who may not enter /" in asked.stderr
    assert "way out: Run Florin as an ordinary user" in asked.stderr
    assert _as_a_lesser_root("-m", "runner.privilege", "/usr").returncode == 0


def test_the_doctor_says_it_too(closed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a container without CAP_SETPCAP answers.
    monkeypatch.setattr("runner.privilege._passage", list)
    settings = Settings(data_dir=closed_home / "data")
    finding = next(each for each in doctor.examine(settings) if each.name == "user for postgres")
    assert not finding.ok
    assert "who may not enter /" in finding.detail
    assert "FLORIN_POSTGRES_URL" in finding.way_out
    with pytest.raises(CommandError, match="refuses to run as root"):
        postgres.runs_as(settings)


def _as_a_lesser_root(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a root that may not hand capabilities on, as in a container that was given few."""
    lesser = [str(setpriv()), "--inh-caps=-setpcap", "--bounding-set=-setpcap", "--"]
    command = [*lesser, sys.executable, *arguments]
    return subprocess.run(command, cwd=checkout_root(), capture_output=True, text=True, check=False)


def _capabilities(process: psutil.Process) -> set[str]:
    """The capabilities a process may use."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    held = int(status["CapPrm"], 16)
    names = {1: "dac_override", 2: "dac_read_search"}
    return {names.get(bit, str(bit)) for bit in range(held.bit_length()) if held >> bit & 1}
