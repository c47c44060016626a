"""The process behind `florin up`: `python -m runner.daemon [NAME …]`.

It holds a lock on the data directory, so that one directory has one supervisor, and writes the
state file that everything else reads.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final

from roster import ROSTER
from runner import envoy, leftovers, ports, replicas, secrets, services, state, system
from runner.settings import Settings, checkout_root
from runner.spec import Node
from runner.supervisor import Supervisor
from runner.trouble import Trouble
from terminal.errors import CommandError

# A supervisor that was asked to stop a moment ago may still hold the lock.
_LOCK_DEADLINE_S: Final = 5.0

# Outgoing connections that happen to sit on a port of ours are mostly requests and soon over.
_PASSING_CONNECTION_S: Final = 5.0

# Changes are written at once; this often when there are none, to show that we are alive.
_HEARTBEAT_S: Final = 1.0

log = logging.getLogger("florin.supervisor")


def main() -> None:
    """Runs the system, or the named parts of it and what they need, until SIGTERM."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    settings = Settings()
    for folder in (settings.run_dir, settings.logs_dir):
        folder.mkdir(parents=True, exist_ok=True)
    with _lock(settings) as lock:
        try:
            nodes = _prepare(settings, only=sys.argv[1:])
        except CommandError as error:
            log.error("start refused: %s", error.message)
            state.write(settings, phase="failed", error=_trouble(error))
            sys.exit(1)
        asyncio.run(_supervise(settings, nodes, lock))


def _lock(settings: Settings) -> IO[str]:
    file = (settings.run_dir / "lock").open("a")
    deadline = time.monotonic() + _LOCK_DEADLINE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                log.error("another supervisor holds %s", file.name)
                sys.exit(1)
            time.sleep(0.05)


def _prepare(settings: Settings, *, only: Sequence[str]) -> list[Node]:
    left = state.read(settings)
    state.write(settings, phase="starting")
    if left is not None:
        leftovers.end(left)
    stopped_dir = settings.run_dir / "stopped"
    stopped_dir.mkdir(exist_ok=True)
    for mark in stopped_dir.iterdir():
        mark.unlink()
    replicas.forget(settings)
    nodes = system.nodes(settings, secrets.ensure(settings), only=only)
    if taken := _taken_ports(settings, nodes):
        raise CommandError(
            f"Not started: {'; '.join(str(each) for each in taken)}.",
            way_out=f"End that program, or set {', '.join(each.variable for each in taken)}.",
        )
    return nodes


def _taken_ports(settings: Settings, nodes: Sequence[Node]) -> list[ports.Taken]:
    """Our ports that others have, once those that are only passing through had time to leave."""
    wanted = ports.wanted(settings, only={node.name for node in nodes})
    deadline = time.monotonic() + _PASSING_CONNECTION_S
    while taken := ports.taken(wanted, host=settings.bind_host):
        if any(each.listens for each in taken) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return taken


async def _supervise(settings: Settings, nodes: Sequence[Node], lock: IO[str]) -> None:
    stop, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(stop_signal, stop.set)
    supervisor = Supervisor(nodes, stopped_dir=settings.run_dir / "stopped", on_change=changed.set)
    run = asyncio.create_task(supervisor.run(stop))
    published, scaled = _Published(settings, supervisor, lock), _Replicas(settings, supervisor)
    came_up = False
    while not run.done():
        came_up = came_up or supervisor.healthy
        phase: state.Phase = "stopping" if stop.is_set() else "up" if came_up else "starting"
        changed.clear()
        if phase == "up":
            scaled.follow()
        if not published.write(phase):
            log.error("the data directory was removed; ending the system that lived in it")
            stop.set()
            await run
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARTBEAT_S):
                await _either(run, changed)
    await run
    published.write("stopped")


class _Replicas:
    """Starts and ends replicas, so that there are as many of each process as there should be now."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._told: dict[str, int] = {}

    def follow(self) -> None:
        wanted = {process: replicas.wanted(self._settings, process) for process in ROSTER.processes}
        try:
            if wanted != self._told:
                # First, so that Envoy does not look for one that has gone already.
                envoy.tell_of_replicas(self._settings)
                self._told = wanted
        except OSError as error:
            log.error("the number of replicas cannot be changed now: %s", error)
            return
        for process in ROSTER.processes:
            there = replicas.of(process, self._supervisor.processes)
            if there and set(there) != set(replicas.names(self._settings, process)):
                self._adjust(process, there)

    def _adjust(self, process: str, there: Sequence[str]) -> None:
        own = secrets.load(self._settings)
        specs = services.replica_specs(self._settings, own, process, cwd=checkout_root())
        for spec in specs:
            if spec.name not in there:
                self._supervisor.add(spec)
        for name in set(there) - {spec.name for spec in specs}:
            self._supervisor.remove(name)


class _Published:
    """What the world is told of the system, as far as the disk takes it."""

    def __init__(self, settings: Settings, supervisor: Supervisor, lock: IO[str]) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._lock = lock
        self._stuck = False

    def write(self, phase: state.Phase) -> bool:
        """Writes the state; False if the data directory is not the one we locked any more.

        A state that cannot be written is no reason to end what works. Whoever reads the last one sees how
        old it is, and does not take it for the truth.
        """
        processes = list(self._supervisor.processes.values())
        try:
            if not os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self._lock.name)):
                return False
            state.write(self._settings, phase=phase, processes=processes, error=self._supervisor.error)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self._stuck:
                log.error("the state cannot be written, all else goes on: %s", error)
            self._stuck = True
        else:
            if self._stuck:
                log.info("the state is written again")
            self._stuck = False
        return True


async def _either(run: asyncio.Task[None], changed: asyncio.Event) -> None:
    waiter = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({run, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


def _trouble(error: CommandError) -> Trouble:
    return Trouble(error.message, way_out=error.way_out, detail=error.detail)


if __name__ == "__main__":
    main()
