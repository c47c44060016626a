"""`florin status` is the truth, or says that it does not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from florin_cli.commands.status import report
from runner import leftovers, state
from runner.settings import Settings
from runner.state import ProcessState, State


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    settings.run_dir.mkdir()
    return settings


def seen(**more: object) -> State:
    state_now = State(
        supervisor_pid=os.getpid(),
        supervisor_started_at=psutil.Process().create_time(),
        updated_at=time.time(),
        phase="up",
        processes=[process("order_svc")],
    )
    return replace(state_now, **more)  # type: ignore[arg-type]


def process(name: str, *, pid: int | None = 1, healthy: bool = True) -> ProcessState:
    return ProcessState(
        name=name,
        pid=pid,
        started_at=psutil.Process(pid).create_time() if pid else None,
        port=1,
        healthy=healthy,
        restarts=0,
        data_dir=None,
        detail="",
        failed=False,
    )


def test_what_was_written_is_read(settings: Settings) -> None:
    state.write(settings, phase="starting")
    found = state.read(settings)
    assert found is not None
    assert found.supervisor_lives
    assert found.phase == "starting"


def test_no_state_is_none(settings: Settings) -> None:
    assert state.read(settings) is None
    state.state_file(settings).write_text(json.dumps({"from": "another version"}))
    assert state.read(settings) is None


@pytest.mark.parametrize(
    "because",
    [
        {"processes": [process("order_svc", healthy=False)]},
        {"phase": "starting"},
        {"updated_at": time.time() - 60},
        {"supervisor_started_at": 1.0},
    ],
    ids=["a process is sick", "still starting", "supervisor is stuck", "pid is somebody else's"],
)
def test_a_system_is_not_healthy_when(because: dict[str, object]) -> None:
    assert seen().healthy
    assert not seen(**because).healthy


def test_the_json_has_the_contracts_keys_and_no_others(settings: Settings) -> None:
    with_data = replace(process("nats"), data_dir="/data/nats")
    told = report(settings, seen(processes=[process("order_svc"), with_data]))
    assert set(told) == {"healthy", "data_dir", "processes"}
    order, nats = told["processes"]
    assert set(order) == {"name", "pid", "port", "healthy", "restarts", "detail"}
    assert set(nats) == set(order) | {"data_dir"}
    assert report(settings, None) == {
        "healthy": False,
        "data_dir": str(settings.data_dir),
        "processes": [],
    }


def test_leftovers_are_ended_and_strangers_left_alone() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as ours, subprocess.Popen(command) as strangers:
        reused = replace(process("order_svc", pid=strangers.pid), started_at=1.0)
        leftovers.end(seen(processes=[process("nats", pid=ours.pid), reused]))
        assert ours.poll() is not None
        assert strangers.poll() is None
        strangers.kill()
