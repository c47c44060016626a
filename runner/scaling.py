"""More replicas, fewer, or fresh ones, while the system runs: `florin scale` and `florin restart`."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from roster import ROSTER
from runner import control, envoy, ports, replicas, state
from runner.settings import MAX_REPLICAS, Settings
from runner.state import State
from terminal.errors import EXIT_USAGE, CommandError

# One replica goes within its grace, the next one comes within some seconds; a busy machine gets a minute.
_DEADLINE_S: Final = 90.0


def scale(
    settings: Settings, counts: Mapping[str, int], *, deadline_s: float = _DEADLINE_S
) -> dict[str, int]:
    """Returns once there are so many replicas of these processes, and no others; how many there are of each.

    Those that stay are not touched, and those that go finish what they have begun.

    Raises:
        CommandError: there cannot be as many, or they did not become healthy.
    """
    _refuse_unknown(settings, counts)
    for process, count in counts.items():
        if not 1 <= count <= MAX_REPLICAS:
            raise CommandError(
                f"There cannot be {count} replicas of {process}.",
                way_out=f"Choose from 1 to {MAX_REPLICAS}. `florin stop NAME` stops one for a while.",
                exit_code=EXIT_USAGE,
            )
    with _alone(settings):
        _scale(settings, counts, deadline_s=deadline_s)
    return {process: replicas.wanted(settings, process) for process in ROSTER.processes}


def restart(
    settings: Settings,
    processes: Sequence[str] = (),
    *,
    deadline_s: float = _DEADLINE_S,
    on_progress: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Restarts every replica of these processes, or of all, one after the other; their names.

    Each finishes what it has begun, and the next one goes when it is back. A process with one replica has
    another one for that time.

    Raises:
        CommandError: one did not come back; those after it are left alone.
    """
    _refuse_unknown(settings, processes)
    restarted: list[str] = []
    with _alone(settings):
        there = {process.name for process in control.required(settings).processes}
        for process in [each for each in ROSTER.processes if each in (processes or there)]:
            with _another_beside(settings, process, deadline_s=deadline_s):
                for name in replicas.of(process, sorted(there)):
                    if not control.stopped_file(settings, name).exists():
                        on_progress(name)
                        _restart(settings, name, deadline_s=deadline_s)
                        restarted.append(name)
    return restarted


def _refuse_unknown(settings: Settings, processes: Collection[str]) -> None:
    there = {process.name for process in control.required(settings).processes}
    known = [process for process in ROSTER.processes if process in there]
    if unknown := set(processes) - set(known):
        raise CommandError(
            f"There are no replicas of {', '.join(sorted(unknown))}.",
            way_out=f"Choose from {', '.join(known)}.",
            exit_code=EXIT_USAGE,
        )


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Lets one change of the replicas happen at a time."""
    with (settings.run_dir / "changing").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                "Another `florin scale` or `florin restart` is under way.", way_out="Wait for its end."
            ) from None
        yield


@contextmanager
def _another_beside(settings: Settings, process: str, *, deadline_s: float) -> Iterator[None]:
    """One replica more of a process that has only one at work, for the time of the block."""
    names = replicas.names(settings, process)
    at_work = [name for name in names if not control.stopped_file(settings, name).exists()]
    if len(at_work) != 1 or len(names) == MAX_REPLICAS:
        yield
        return
    _scale(settings, {process: len(names) + 1}, deadline_s=deadline_s)
    # If the block fails it stays, since it may be the only one that works.
    yield
    _scale(settings, {process: len(names)}, deadline_s=deadline_s)


def _scale(settings: Settings, counts: Mapping[str, int], *, deadline_s: float) -> None:
    there = {process.name for process in control.required(settings).processes}
    new = {
        port: ports.Wanted(name, f"FLORIN_{ROSTER[process].name.upper()}_PORT")
        for process, count in counts.items()
        for index, port in enumerate(settings.service_ports(process, count))
        if (name := replicas.name(process, index)) not in there
    }
    if taken := ports.taken(new, host=settings.bind_host):
        raise CommandError(
            f"Not scaled: {'; '.join(str(each) for each in taken)}.", way_out="End that program."
        )
    replicas.want(settings, counts)
    wanted = {process: set(replicas.names(settings, process)) for process in counts}

    def are_there(found: State) -> bool:
        known = {each.name: each for each in found.processes}
        return all(
            set(replicas.of(process, known)) == mine
            and all(_works(settings, found, known[name]) for name in mine)
            for process, mine in wanted.items()
        )

    control.wait_until(settings, are_there, f"The replicas of {', '.join(counts)}", deadline_s=deadline_s)


def _restart(settings: Settings, name: str, *, deadline_s: float) -> None:
    before = _process(control.required(settings), name)
    if before is not None and before.pid is not None and state.lives(before.pid, before.started_at):
        # It ends in order, and the supervisor does not leave it at that.
        os.kill(before.pid, signal.SIGTERM)

    def is_back(found: State) -> bool:
        now = _process(found, name)
        is_new = now is not None and (before is None or now.pid != before.pid)
        return now is not None and is_new and _works(settings, found, now)

    control.wait_until(settings, is_back, name, deadline_s=deadline_s)


def _works(settings: Settings, found: State, replica: state.ProcessState) -> bool:
    """Whether a replica is healthy and gets work, or is not meant to."""
    if control.stopped_file(settings, replica.name).exists():
        return True
    process = replicas.process_of(replica.name)
    if not replica.healthy or replica.port is None or process not in ROSTER.processes:
        return replica.healthy
    edge = _process(found, envoy.NAME)
    return edge is None or envoy.sends_work_to(settings, process, replica.port)


def _process(found: State, name: str) -> state.ProcessState | None:
    return next((process for process in found.processes if process.name == name), None)
