"""CPU time by process: who spends what on a checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import psutil

from runner.settings import Settings
from runner.state import State, read

LOAD_GENERATOR: Final = "load_generator"
SUPERVISOR: Final = "supervisor"
# This program itself: it only waits and reads clocks while the load runs.
CONDUCTOR: Final = "bench"

# What measures and is not measured.
NOT_THE_SYSTEM: Final = frozenset({LOAD_GENERATOR, CONDUCTOR})


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of CPU that each process had used at one moment."""

    by_process: Mapping[str, float]
    # All that the machine's processors did and could have done.
    machine_busy_s: float
    machine_s: float

    @property
    def busy_share(self) -> float:
        """Share of the machine's processors that was in use."""
        return self.machine_busy_s / self.machine_s if self.machine_s else 0.0

    @property
    def others_share(self) -> float:
        """Share of the machine's processors that programs used which have no part in this.

        The kernel's work for the network counts here, too, as far as it is charged to nobody.
        """
        others_s = max(0.0, self.machine_busy_s - sum(self.by_process.values()))
        return others_s / self.machine_s if self.machine_s else 0.0

    def since(self, before: CpuTimes) -> CpuTimes:
        """What was used between `before` and now."""
        # A process that was restarted in between counts from its own start.
        used = {
            name: now - earlier if now >= (earlier := before.by_process.get(name, 0.0)) else now
            for name, now in self.by_process.items()
        }
        return CpuTimes(used, self.machine_busy_s - before.machine_busy_s, self.machine_s - before.machine_s)


def look(settings: Settings, *, load_generator_pid: int) -> CpuTimes:
    """The CPU times of every process of the system, of the load generator and of the machine."""
    found = read(settings)
    assert found is not None, "the system runs"
    by_process = {name: _tree_s(pid) for name, pid in _pids(found)}
    supervisor = psutil.Process(found.supervisor_pid)
    by_process[SUPERVISOR] = _own_s(supervisor)
    by_process[LOAD_GENERATOR] = _tree_s(load_generator_pid)
    by_process[CONDUCTOR] = _own_s(psutil.Process(os.getpid()))
    machine = psutil.cpu_times()
    total_s = sum(machine) - getattr(machine, "guest", 0.0) - getattr(machine, "guest_nice", 0.0)
    idle_s = machine.idle + getattr(machine, "iowait", 0.0)
    return CpuTimes(by_process, total_s - idle_s, total_s)


def _pids(found: State) -> Iterable[tuple[str, int]]:
    return [(process.name, process.pid) for process in found.processes if process.pid is not None]


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _tree_s(pid: int) -> float:
    """A process with its children: those that live, and those that it has seen end.

    The second matters for Postgres, where each connection is a process.
    """
    try:
        root = psutil.Process(pid)
        times = root.cpu_times()
        total_s = float(times.user + times.system + times.children_user + times.children_system)
        children = root.children(recursive=True)
    except psutil.Error:
        return 0.0
    for child in children:
        try:
            total_s += _own_s(child)
        except psutil.Error:
            continue  # It ended just now and will be among those its parent has seen end.
    return total_s
