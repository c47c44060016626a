"""What the supervisor is told: a table of programs and of setups between them."""

from __future__ import annotations

import pwd
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.health import Check


class DataLost(Exception):
    """Data that must not be made up again is gone; the message says what, and what to do."""


class SetupFailed(Exception):
    """A setup did not succeed; the message says what went wrong, `detail` what it wrote."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One program of the system."""

    name: str
    # Empty: it runs elsewhere (an external store) and is only watched.
    command: tuple[str, ...]
    check: Check
    log_path: Path
    cwd: Path
    port: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    # Names of what must be healthy, or done, before the first start.
    needs: tuple[str, ...] = ()
    # Its own directory, reported by `status` and watched for loss.
    data_dir: Path | None = None
    # What is in it cannot be made again from elsewhere: it is never emptied.
    holds_truth: bool = False
    # Runs before every start. Raises DataLost to refuse all further ones.
    prepare: Callable[[], Awaitable[None]] = _nothing
    user: pwd.struct_passwd | None = None
    # Paths that `user` has to get to.
    reaches: tuple[Path, ...] = ()
    # Whoever needs that one needs this one, too, and ends before it.
    replica_of: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    # In place of it when everything ends, so that nobody has to be waited for.
    down_signal: signal.Signals | None = None
    stop_grace_s: float = 10.0
    # What the kernel sends it when the supervisor dies.
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Something done once between two processes, such as a migration."""

    name: str
    run: Callable[[], Awaitable[None]]
    needs: tuple[str, ...] = ()


Node = ProcessSpec | Setup
