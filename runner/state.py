"""What the supervisor tells the world: one small file, replaced as a whole about once a second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import psutil

from runner.settings import Settings
from runner.trouble import Trouble

if TYPE_CHECKING:
    # It brings the clients of all stores with it, which a look at a file can do without.
    from runner.process import SupervisedProcess

# Older than this, and the supervisor is stuck: what it wrote last is not the truth any more.
STALE_S: Final = 10.0

# Two readings of one process's start time differ by rounding only.
_SAME_START_S: Final = 0.5

Phase = Literal["starting", "up", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process as `florin status` shows it."""

    name: str
    pid: int | None
    # Of `pid`, so that a number the kernel gave to somebody else is not taken for ours.
    started_at: float | None
    port: int | None
    healthy: bool
    restarts: int
    data_dir: str | None
    # Why it is not healthy, or what it does not get done though it is; mostly empty.
    detail: str
    # Waiting for it makes no sense any more.
    failed: bool


@dataclass(frozen=True, slots=True)
class State:
    """The whole system as its supervisor last saw it."""

    supervisor_pid: int
    supervisor_started_at: float
    updated_at: float
    phase: Phase
    error: Trouble | None = None
    processes: list[ProcessState] = field(default_factory=list)

    @property
    def supervisor_lives(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return lives(self.supervisor_pid, self.supervisor_started_at)

    @property
    def healthy(self) -> bool:
        """Whether the system is up and all of it does its work, now."""
        fresh = time.time() - self.updated_at < STALE_S
        all_healthy = all(process.healthy for process in self.processes)
        return self.phase == "up" and fresh and all_healthy and self.supervisor_lives


def state_file(settings: Settings) -> Path:
    """Where the state is written."""
    return settings.run_dir / "state.json"


def read(settings: Settings) -> State | None:
    """The last state written, or None if there never was one (or it is not readable as one)."""
    try:
        raw = json.loads(state_file(settings).read_bytes())
        raw["processes"] = [ProcessState(**process) for process in raw["processes"]]
        raw["error"] = Trouble(**raw["error"]) if raw["error"] else None
        return State(**raw)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def write(
    settings: Settings,
    *,
    phase: Phase,
    processes: Sequence[SupervisedProcess] = (),
    error: Trouble | None = None,
) -> None:
    """Replaces the state, as the supervisor that calls this sees it."""
    state = State(
        supervisor_pid=os.getpid(),
        supervisor_started_at=_started_at(os.getpid()) or 0.0,
        updated_at=time.time(),
        phase=phase,
        error=error,
        processes=[_process_state(process) for process in processes],
    )
    path = state_file(settings)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(state)))
    draft.replace(path)


def lives(pid: int | None, started_at: float | None) -> bool:
    """Whether the process that had `pid` and began at `started_at` still runs."""
    if pid is None or started_at is None:
        return False
    found = _started_at(pid)
    return found is not None and abs(found - started_at) < _SAME_START_S


def _process_state(process: SupervisedProcess) -> ProcessState:
    spec = process.spec
    return ProcessState(
        name=spec.name,
        pid=process.pid,
        started_at=_started_at(process.pid) if process.pid is not None else None,
        port=spec.port,
        healthy=process.healthy,
        restarts=process.restarts,
        data_dir=str(spec.data_dir) if spec.data_dir is not None else None,
        detail=process.detail,
        failed=process.hopeless,
    )


def _started_at(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None
