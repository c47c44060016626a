"""Starting and stopping the system from outside: what `up`, `down` and the tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from runner import leftovers, program, secrets, state, system
from runner.privilege import confined
from runner.settings import Settings, checkout_root
from runner.spec import ProcessSpec
from runner.state import State
from terminal.errors import EXIT_NOT_RUNNING, CommandError

# Several times what a cold start takes on a slow two-core machine.
UP_DEADLINE_S: Final = 120.0

# Every process has its own grace period of at most 30 s, and two waves may follow one another.
_DOWN_DEADLINE_S: Final = 75.0

# Short enough that nobody notices, long enough to leave the processor to those who start.
_LOOK_S: Final = 0.05

# A folder in the data directory that is there even if no system ever ran in it: the demo's own.
DEMO_FOLDER: Final = "demo"

# The supervisors that this process has started. They are meant to run on; Python takes a child that is
# forgotten while it runs for a mistake.
_started: Final[list[subprocess.Popen[bytes]]] = []

# A process that fails has usually said why in this many lines.
_TAIL_LINES: Final = 20


def running(settings: Settings) -> State | None:
    """The state of the system that runs in this data directory, or None if none does."""
    found = state.read(settings)
    return found if found is not None and found.supervisor_lives else None


def start(
    settings: Settings,
    *,
    only: Sequence[str] = (),
    deadline_s: float = UP_DEADLINE_S,
    on_progress: Callable[[State], None] = lambda _: None,
    dies_with_caller: bool = False,
) -> State:
    """Starts the system if it does not run, and returns once all of it is healthy.

    Raises:
        CommandError: it did not become healthy; it has been stopped again.
    """
    found = running(settings)
    daemon = None
    if found is None or found.phase not in ("starting", "up"):
        if found is not None:
            stop(settings)
        daemon = _spawn(settings, only=only, dies_with_caller=dies_with_caller)
    else:
        _refuse_part(settings, found, only=only)
    deadline = time.monotonic() + deadline_s
    try:
        return _wait_until_healthy(settings, daemon, deadline, on_progress)
    except (CommandError, KeyboardInterrupt):
        if daemon is not None:
            stop(settings)
        raise


def stop(settings: Settings) -> bool:
    """Stops the system and everything of it; False if there was nothing to stop."""
    found = running(settings)
    if found is None:
        _end_leftovers(settings)
        return False
    try:
        supervisor = psutil.Process(found.supervisor_pid)
        supervisor.terminate()
        try:
            supervisor.wait(timeout=_DOWN_DEADLINE_S)
        except psutil.TimeoutExpired:
            # The kernel then ends its children.
            supervisor.kill()
            supervisor.wait(timeout=_DOWN_DEADLINE_S)
    except psutil.NoSuchProcess:
        pass
    _end_leftovers(settings)
    return True


def reset(settings: Settings) -> None:
    """Stops the system and forgets its data.

    Raises:
        CommandError: the data directory is not one of ours, and is left alone.
    """
    stop(settings)
    data_dir = settings.data_dir
    if not data_dir.exists():
        return
    strangers = {path.name for path in data_dir.iterdir()} - {DEMO_FOLDER}
    if strangers and not settings.run_dir.is_dir():
        raise CommandError(
            f"{data_dir} does not look like a data directory of Florin, so it is not deleted.",
            way_out="Check FLORIN_DATA_DIR.",
        )
    shutil.rmtree(data_dir)


def _end_leftovers(settings: Settings) -> None:
    if (left := state.read(settings)) is not None:
        leftovers.end(left)


def keep_stopped(settings: Settings, name: str, *, deadline_s: float = 45.0) -> None:
    """Stops one process and keeps it stopped until `start_again`, to see what the rest does."""
    _require(settings, name)
    stopped_file(settings, name).touch()
    _wait_for(settings, name, lambda process: process.pid is None, deadline_s=deadline_s)


def start_again(settings: Settings, name: str, *, deadline_s: float = 60.0) -> None:
    """Lets a process that was stopped by `keep_stopped` run again, and waits until it is healthy."""
    _require(settings, name)
    stopped_file(settings, name).unlink(missing_ok=True)
    _wait_for(settings, name, lambda process: process.healthy, deadline_s=deadline_s)


def _spawn(settings: Settings, *, only: Sequence[str], dies_with_caller: bool) -> subprocess.Popen[bytes]:
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    command: Sequence[str] = (sys.executable, "-m", "runner.daemon", *only)
    if dies_with_caller:
        command = confined(command, death_signal=signal.SIGTERM)
    with (settings.logs_dir / "supervisor.log").open("ab") as log:
        daemon = subprocess.Popen(
            command,
            env=environment(settings),
            cwd=checkout_root(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started[:] = [daemon, *(each for each in _started if each.poll() is None)]
    return daemon


def _refuse_part(settings: Settings, found: State, *, only: Sequence[str]) -> None:
    """Refuses to call a system up of which only a part was started."""
    nodes = system.nodes(settings, secrets.load(settings), only=only)
    wanted = {node.name for node in nodes if isinstance(node, ProcessSpec)}
    running_names = {process.name for process in found.processes}
    if running_names and (missing := wanted - running_names):
        raise CommandError(
            f"A part of the system runs already, without {', '.join(sorted(missing))}.",
            way_out="Stop that part with `florin down` first.",
        )


def environment(settings: Settings) -> Mapping[str, str]:
    """Ours, with every setting as it is in `settings`, wherever it came from."""
    names = {f"FLORIN_{field.upper()}" for field in type(settings).model_fields}
    given = {name: value for name, value in os.environ.items() if name not in names}
    values = {
        f"FLORIN_{name.upper()}": str(value)
        for name, value in settings.model_dump().items()
        if value is not None
    }
    return given | values


def _wait_until_healthy(
    settings: Settings,
    daemon: subprocess.Popen[bytes] | None,
    deadline: float,
    on_progress: Callable[[State], None],
) -> State:
    while True:
        found = state.read(settings)
        if daemon is not None and found is not None and found.supervisor_pid != daemon.pid:
            found = None
        if found is not None:
            on_progress(found)
            if found.healthy:
                return found
        ended = daemon.poll() is not None if daemon else running(settings) is None
        if ended and daemon is not None and running(settings) is not None:
            # Another `up` was faster; its system is as good as ours would have been.
            daemon, ended = None, False
        _refuse_hopeless(settings, found, ended=ended)
        if time.monotonic() > deadline:
            raise _not_healthy(settings, found, "Not everything became healthy in time")
        time.sleep(_LOOK_S)


def _refuse_hopeless(settings: Settings, found: State | None, *, ended: bool) -> None:
    if found is not None and found.error is not None:
        error = found.error
        raise CommandError(error.message, way_out=error.way_out, detail=error.detail)
    if ended:
        log_path = settings.logs_dir / "supervisor.log"
        raise CommandError(
            "The supervisor ended before the system was up.",
            way_out=f"Read {log_path}.",
            detail="\n".join(program.last_lines(log_path, _TAIL_LINES)),
        )
    if found is not None and any(process.failed for process in found.processes):
        raise _not_healthy(settings, found, "The system cannot come up")


def _not_healthy(settings: Settings, found: State | None, message: str) -> CommandError:
    processes = found.processes if found is not None else []
    sick = [process for process in processes if not process.healthy]
    # Those that wait for others are not to blame; name the ones that were started, if any.
    culprits = [process for process in sick if process.failed] or [
        process for process in sick if process.pid is not None or process.restarts
    ]
    details = []
    for process in culprits or sick:
        log_path = settings.logs_dir / f"{process.name}.log"
        details.append(f"{process.name}: {process.detail} ({log_path} ends with:)")
        details += [f"  {line}" for line in program.last_lines(log_path, _TAIL_LINES)]
    names = ", ".join(process.name for process in culprits or sick) or "the supervisor"
    return CommandError(
        f"{message}: {names}.",
        way_out="`florin doctor` checks what the system needs; `florin logs NAME` shows more.",
        detail="\n".join(details),
    )


def stopped_file(settings: Settings, name: str) -> Path:
    """While it exists, the supervisor keeps this process stopped."""
    return settings.run_dir / "stopped" / name


def _require(settings: Settings, name: str) -> None:
    names = [process.name for process in required(settings).processes]
    if name not in names:
        raise CommandError(f"There is no process called {name}.", way_out=f"Choose from {', '.join(names)}.")


def required(settings: Settings) -> State:
    """The state of the system that runs.

    Raises:
        CommandError: none does.
    """
    found = running(settings)
    if found is None:
        raise not_running(settings)
    return found


def not_running(settings: Settings) -> CommandError:
    """The error of every command that needs a running system."""
    return CommandError(
        f"No Florin system runs in {settings.data_dir}.",
        way_out="Start it with `florin up`.",
        exit_code=EXIT_NOT_RUNNING,
    )


def _wait_for(
    settings: Settings,
    name: str,
    condition: Callable[[state.ProcessState], bool],
    *,
    deadline_s: float,
) -> None:
    def holds(found: State) -> bool:
        return any(process.name == name and condition(process) for process in found.processes)

    wait_until(settings, holds, name, deadline_s=deadline_s)


def wait_until(
    settings: Settings, condition: Callable[[State], bool], name: str, *, deadline_s: float
) -> None:
    """Returns once the system is as it was asked to be; `name` is what has to follow.

    Raises:
        CommandError: it did not follow in time, or the system runs no more.
    """
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if condition(required(settings)):
            return
        time.sleep(_LOOK_S)
    raise CommandError(
        f"{name} did not follow within {deadline_s:g} s.",
        way_out="Read `florin status`, and `florin logs NAME` of what is not healthy.",
    )
