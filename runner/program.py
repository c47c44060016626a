"""A program with its output in a log file, that does not outlive us."""

from __future__ import annotations

import asyncio
import pwd
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from runner.privilege import confined

# A log this long is put aside at the next start; a week of development stays readable.
_LOG_LIMIT_BYTES: Final = 50 * 1024 * 1024


async def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log_path: Path,
    user: pwd.struct_passwd | None = None,
    reaches: Sequence[Path] = (),
    death_signal: signal.Signals = signal.SIGKILL,
) -> asyncio.subprocess.Process:
    """Starts `command`; the kernel sends it `death_signal` when we die, however we do."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    _put_aside(log_path)
    with log_path.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *confined(command, death_signal=death_signal, user=user, reaches=reaches),
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Away from the terminal: Ctrl-C there is for us, and we stop them in order.
            start_new_session=True,
        )


async def end(process: asyncio.subprocess.Process, *, stop_signal: signal.Signals, grace_s: float) -> None:
    """Asks `process` to end, waits for `grace_s`, then kills it."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(stop_signal)
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def exit_text(code: int) -> str:
    """How a process ended, for people: `exit code 1`, `SIGKILL`."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def last_lines(log_path: Path, count: int) -> list[str]:
    """The last `count` lines of a log, however long it is; none if there is no log."""
    # No log line of ours is longer than 4 KiB on average.
    limit_bytes = count * 4096
    try:
        with log_path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - limit_bytes))
            return log.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def _put_aside(log_path: Path) -> None:
    if log_path.exists() and log_path.stat().st_size > _LOG_LIMIT_BYTES:
        log_path.replace(log_path.with_name(f"{log_path.name}.1"))
