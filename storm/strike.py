"""Steps of a storm, done to a real system."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from roster import ROSTER
from runner import replicas
from runner.testing import System
from storm.schedule import Fault, Step
from terminal.errors import CommandError

# As long as it takes to miss somebody: events are sent again after five seconds.
_ABSENT_S: Final = 15.0


@dataclass(slots=True)
class Striker:
    """Does to a system what a schedule says, and counts it.

    Attributes:
        struck: how often each fault has done something.
        missed: how often one could not: the replica was dead already, or another change under way.
    """

    system: System
    on_step: Callable[[str], None]
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def strike(self, steps: list[Step], start_s: float, over: Event) -> None:
        """Does each step when it is due after `start_s`, of the monotonic clock, until it is `over`."""
        # What takes long keeps nothing else from its time; each kind follows itself.
        with _one_thread_each() as does:
            for step in steps:
                if over.wait(max(0.0, start_s + step.at_s - time.monotonic())):
                    return
                does[step.fault].submit(self._do, step)

    def _do(self, step: Step) -> None:
        do = {
            Fault.KILL: self._kill,
            Fault.SCALE: self._scale,
            Fault.RESTART: self._restart,
            Fault.ABSENT: self._absent,
        }[step.fault]
        try:
            told = do(step)
        except (CommandError, ProcessLookupError) as reason:
            self.missed[step.fault] += 1
            self.on_step(f"{step.at_s:6.1f} s  {step.fault} {step.process}: not done: {reason}")
            return
        self.struck[step.fault] += 1
        self.on_step(f"{step.at_s:6.1f} s  {step.fault} {told}")

    def _kill(self, step: Step) -> str:
        there = [each.name for each in self.system.state().processes if each.pid is not None]
        alive = replicas.of(step.process, there)
        if not alive:
            raise ProcessLookupError("no replica of it is alive")
        name = step.of(alive)
        self.system.kill(name)
        return name

    def _scale(self, step: Step) -> str:
        settings = self.system.settings
        usual = settings.replicas(step.process)
        count = usual if replicas.wanted(settings, step.process) > usual else usual + 1
        self.system.scale(**{step.process: count})
        return f"{step.process} to {count}"

    def _restart(self, step: Step) -> str:
        began_s = time.monotonic()
        restarted = self.system.restart()
        return f"{len(restarted)} replicas, in {time.monotonic() - began_s:.0f} s"

    def _absent(self, step: Step) -> str:
        names = replicas.names(self.system.settings, step.process)
        for name in names:
            self.system.keep_stopped(name)
        time.sleep(_ABSENT_S)
        for name in names:
            self.system.start_again(name)
        return f"{', '.join(names)} for {_ABSENT_S:g} s"


def all_processes() -> list[str]:
    """Whom faults strike: every process of ours."""
    return list(ROSTER.processes)


@contextmanager
def _one_thread_each() -> Iterator[Mapping[Fault, ThreadPoolExecutor]]:
    threads = {fault: ThreadPoolExecutor(1, thread_name_prefix=fault) for fault in Fault}
    try:
        yield threads
    finally:
        for thread in threads.values():
            thread.shutdown()
