"""A disk that is full ends no system, and what is freed is used again by itself."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from runner import control, state
from runner.testing import System, running_system
from tests.support.ports import system_settings

# One system after the other.
pytestmark = pytest.mark.xdist_group("runner-disk")

ONLY = ("nats", "redis")

# NATS and Redis start with a few kilobytes each.
_DISK_BYTES = 8 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "florin-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here, which takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing fits any more; return the file that is in the way."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


def supervisor_lives(system: System) -> bool:
    return control.running(system.settings) is not None


def written_since(system: System, moment: float) -> bool:
    return system.state().updated_at > moment


def supervisor_log(system: System) -> str:
    return (system.settings.logs_dir / "supervisor.log").read_text()


def test_a_state_that_cannot_be_written_is_said_once_and_written_again(tmp_path: Path) -> None:
    with (
        system_settings(tmp_path / "data") as settings,
        running_system(settings, only=["redis"]) as system,
    ):
        supervisor = psutil.Process(system.state().supervisor_pid)
        usual = supervisor.rlimit(resource.RLIMIT_FSIZE)
        # To the supervisor this is a disk on which no file grows any more. Its log is such a file, too.
        supervisor.rlimit(resource.RLIMIT_FSIZE, (100, usual[1]))
        moment = time.time()
        _until_stale(system, moment)
        assert supervisor_lives(system), "a supervisor that cannot write goes on supervising"
        assert not system.state().healthy, "and nobody takes the old state for the truth"
        supervisor.rlimit(resource.RLIMIT_FSIZE, usual)
        freed = time.time()
        system.wait_until(lambda: written_since(system, freed), "the state is written again")
        system.wait_healthy()
        assert supervisor_log(system).count("the state is written again") == 1


def _until_stale(system: System, moment: float) -> None:
    def is_stale() -> bool:
        return time.time() - max(moment, system.state().updated_at) > state.STALE_S

    system.wait_until(is_stale, "the state is too old to be believed")


def test_stores_that_die_of_a_full_disk_come_back_when_there_is_room(small_disk: Path) -> None:
    with (
        system_settings(small_disk / "data") as settings,
        running_system(settings, only=ONLY) as system,
    ):
        before = system.restarts(ONLY)
        pids = [_pid_of(system, name) for name in ONLY]
        ballast = fill(small_disk)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        system.wait_until(lambda: not any(map(psutil.pid_exists, pids)), "their deaths are noticed")
        assert supervisor_lives(system)
        ballast.unlink()
        system.wait_restarted(before)
        system.wait_healthy()
        assert supervisor_lives(system)


def _pid_of(system: System, name: str) -> int:
    pid = system.process(name).pid
    assert pid is not None
    return pid
