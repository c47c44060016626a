"""A real system for the length of a test: `with running_system(settings) as system: …`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from runner import control, databases, postgres, scaling, secrets, state, system
from runner.health import Check, Unhealthy
from runner.privilege import confined
from runner.secrets import Secrets
from runner.settings import Settings
from runner.spec import ProcessSpec
from runner.state import ProcessState, State

# A killed process comes back in well under a second; a busy test machine gets a minute.
HEAL_DEADLINE_S: Final = 60.0

_LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Armed:
    """A process that waits for its fault point."""

    faultpoint: str
    process: subprocess.Popen[bytes]

    @property
    def struck(self) -> bool:
        """Whether it has reached its fault point and is dead.

        Raises:
            AssertionError: it has ended in another way.
        """
        code = self.process.poll()
        assert code in (None, -signal.SIGKILL), f"ended with {code} and not at {self.faultpoint}"
        return code is not None

    def end(self) -> None:
        """Kills it if it never got there."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class System:
    """A running system, and the ways to hurt it."""

    settings: Settings
    secrets: Secrets

    def state(self) -> State:
        """What the supervisor saw last."""
        found = state.read(self.settings)
        assert found is not None, "the supervisor has not written its state"
        return found

    def process(self, name: str) -> ProcessState:
        """One process as `florin status` shows it."""
        return next(process for process in self.state().processes if process.name == name)

    def database_url(self, service: str) -> str:
        """The address by which `service` itself connects to its database."""
        database = databases.of(service)
        return postgres.url(self.settings, self.secrets, role=database.role, database=database.name)

    def auditor_url(self, service: str) -> str:
        """An address that reads everything in a service's database and changes nothing."""
        return postgres.url(
            self.settings,
            self.secrets,
            role=secrets.AUDITOR,
            database=databases.of(service).name,
        )

    def kill(self, name: str) -> ProcessState:
        """kill -9 for one process; returns what it was."""
        process = self.process(name)
        assert process.pid is not None, f"{name} is not running"
        os.kill(process.pid, signal.SIGKILL)
        return process

    def kill_and_wait(self, name: str, *, deadline_s: float = HEAL_DEADLINE_S) -> ProcessState:
        """kill -9 for one process; returns once the supervisor has it healthy again."""
        before = self.kill(name)
        self.wait_restarted({name: before.restarts}, deadline_s=deadline_s)
        return self.process(name)

    def keep_stopped(self, name: str) -> None:
        """Stops one process until `start_again`; the supervisor leaves it alone."""
        control.keep_stopped(self.settings, name)

    def start_again(self, name: str) -> None:
        """Starts a process again that `keep_stopped` stopped, and waits until it is healthy."""
        control.start_again(self.settings, name)

    def scale(self, **counts: int) -> None:
        """As `florin scale`."""
        scaling.scale(self.settings, counts)

    def restart(self, *processes: str) -> list[str]:
        """As `florin restart`."""
        return scaling.restart(self.settings, processes)

    def arm(self, name: str, faultpoint: str, *, deadline_s: float = HEAL_DEADLINE_S) -> Armed:
        """Replaces a process by one that kills itself at `faultpoint` (see `kit.observe.faultpoints`).

        The supervised one stays away until `start_again`, so the fault strikes once. Returns when the
        armed one does its work.
        """
        self.keep_stopped(name)
        nodes = system.nodes(self.settings, self.secrets, only=[name])
        spec = next(node for node in nodes if isinstance(node, ProcessSpec) and node.name == name)
        with spec.log_path.open("ab") as log:
            process = subprocess.Popen(
                confined(spec.command, death_signal=signal.SIGKILL),
                env=dict(spec.env) | {"FLORIN_FAULTPOINT": faultpoint},
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        armed = Armed(faultpoint, process)
        asyncio.run(_until_good(spec.check, armed, deadline_s))
        return armed

    def wait_restarted(self, before: Mapping[str, int], *, deadline_s: float = HEAL_DEADLINE_S) -> None:
        """Returns once each process was restarted since `before` (restarts by name) and does its work."""

        def are_back() -> bool:
            now = {process.name: process for process in self.state().processes}
            return all(now[name].healthy and now[name].restarts > count for name, count in before.items())

        self.wait_until(are_back, f"{', '.join(before)} are back", deadline_s=deadline_s)

    def restarts(self, names: Iterable[str]) -> dict[str, int]:
        """How often each of these processes has been restarted so far."""
        return {name: self.process(name).restarts for name in names}

    def wait_healthy(self, *, deadline_s: float = HEAL_DEADLINE_S) -> None:
        """Returns once every process does its work."""
        self.wait_until(lambda: self.state().healthy, "all is healthy", deadline_s=deadline_s)

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, deadline_s: float = HEAL_DEADLINE_S
    ) -> None:
        """Returns once `condition` holds; fails with `what` and the state if it never does."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            sick = [process for process in self.state().processes if not process.healthy]
            assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}; {sick}"
            time.sleep(_LOOK_S)


@contextmanager
def running_system(
    settings: Settings,
    *,
    only: Sequence[str] = (),
    deadline_s: float = control.UP_DEADLINE_S,
) -> Iterator[System]:
    """A healthy system (or `only` some processes and what they need), stopped at the end.

    It ends with the process that called this, even if that is killed.
    """
    try:
        control.start(settings, only=only, deadline_s=deadline_s, dies_with_caller=True)
        yield System(settings, secrets.load(settings))
    finally:
        control.stop(settings)


async def _until_good(check: Check, armed: Armed, deadline_s: float) -> None:
    deadline, problem = time.monotonic() + deadline_s, ""
    while time.monotonic() < deadline:
        assert not armed.struck, f"{armed.faultpoint} is passed at every start"
        try:
            await check()
            return
        except Unhealthy as unhealthy:
            problem = str(unhealthy)
            await asyncio.sleep(_LOOK_S)
    armed.end()
    raise AssertionError(f"not healthy within {deadline_s:g} s: {problem}")
