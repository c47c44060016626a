"""Programs and checks that do what a test tells them to, by way of files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.health import Check, NotServing, Unhealthy
from runner.process import SupervisedProcess
from runner.spec import ProcessSpec

# Notes its start, and its end if it is asked for it, in the order in which they happen.
_PROGRAM = """
import signal, sys, time
name, journal = sys.argv[1:3]
def note(what):
    with open(journal, "a") as file:
        file.write(f"{name} {what}\\n")
def end(signal_number, _):
    note("ended" if signal_number == signal.SIGTERM else "ended with all")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
note("started")
while True:
    time.sleep(60)
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder in which fake programs play."""

    folder: Path

    @property
    def journal(self) -> list[str]:
        """What the programs did, in order."""
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def sick_file(self, name: str) -> Path:
        """While this exists, `name` is not healthy."""
        return self.folder / f"{name}.sick"

    def troubled_file(self, name: str) -> Path:
        """While this exists, `name` is healthy and says that it fails at something."""
        return self.folder / f"{name}.troubled"

    def alive_file(self, name: str) -> Path:
        """While this exists, `name` says itself that it does not serve."""
        return self.folder / f"{name}.alive"

    def spec(self, name: str, **more: Any) -> ProcessSpec:
        """A program that runs until it is asked to end."""
        given: dict[str, Any] = {
            "name": name,
            "command": (sys.executable, "-S", "-c", _PROGRAM, name, str(self.folder / "journal")),
            "check": self.check(name),
            "log_path": self.folder / f"{name}.log",
            "cwd": self.folder,
        }
        return ProcessSpec(**(given | more))

    def supervised(self, name: str) -> SupervisedProcess:
        """A process that is healthy, if only on paper."""
        process = SupervisedProcess(self.spec(name), stopped_file=self.folder / name, on_change=lambda: None)
        process.healthy = True
        return process

    def check(self, name: str) -> Check:
        """Healthy once the program has started, unless it is told to be sick."""

        async def check() -> str:
            if self.sick_file(name).exists():
                raise Unhealthy("feels sick")
            if self.alive_file(name).exists():
                raise NotServing("waits for its store")
            if f"{name} started" not in self.journal:
                raise Unhealthy("not there yet")
            return "fails at something" if self.troubled_file(name).exists() else ""

        return check


async def until(condition: Callable[[], bool], what: str, *, deadline_s: float = 20.0) -> None:
    """Returns once `condition` holds; fails with `what` if it never does."""
    try:
        async with asyncio.timeout(deadline_s):
            # What is waited for happens in other processes; there is no event to wait for.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s:g} s: {what}") from None


async def until_healthy_again(process: SupervisedProcess, *, restarts: int) -> None:
    """Returns once `process` has been restarted so often and is healthy."""
    await until(
        lambda: process.healthy and process.restarts == restarts,
        f"{process.spec.name} healthy after {restarts} restarts",
    )
