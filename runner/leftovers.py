"""Ends what a killed supervisor left running, where the kernel did not do it for us."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from typing import Final

import psutil

from runner.state import State, lives

# The kernel has sent them their signal already where it can; Postgres may be writing its last
# checkpoint.
_GRACE_S: Final = 30.0

log = logging.getLogger("florin.supervisor")


def end(left: State) -> None:
    """Ends every process of `left` that still runs; politely first."""
    alive = []
    for process in left.processes:
        if process.pid is not None and lives(process.pid, process.started_at):
            with suppress(psutil.Error):
                alive.append(psutil.Process(process.pid))
    for process in alive:
        with suppress(psutil.Error):
            log.warning("ending %s (pid %d), left by an earlier run", process.name(), process.pid)
            # Postgres takes SIGINT for a fast shutdown; the others end on it as on any other.
            process.send_signal(signal.SIGINT)
    _, stubborn = psutil.wait_procs(alive, timeout=_GRACE_S)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_GRACE_S)
