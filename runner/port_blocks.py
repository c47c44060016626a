"""Ports for a system beside others: a demo's, a test's. No two of them get the same ones."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from roster import ROSTER
from runner.settings import MAX_REPLICAS

# Below the ports that kernels give to outgoing connections (32768 on Linux), so that no client
# takes one between our look and a server's bind; above those of installed servers.
_FIRST_PORT: Final = 20_000
_LAST_PORT: Final = 32_000

_SINGLE: Final = ("edge", "envoy_admin", "psp_sim", "postgres", "nats", "redis")
_PROCESSES: Final = tuple(ROSTER[process].name for process in ROSTER.processes)

# The first ten are for stores and edge, then the processes with up to eight replicas each.
_PROCESSES_OFFSET: Final = 10
_REPLICA_STEP: Final = len(_PROCESSES)
# Fixed, because others lock a block by its first port: checkouts with more or fewer processes must agree.
_BLOCK_SIZE: Final = 200
# The health of each is told above the ports of all.
_HEALTH_STEP: Final = MAX_REPLICAS * _REPLICA_STEP
assert _PROCESSES_OFFSET + 2 * _HEALTH_STEP <= _BLOCK_SIZE, "a block has too few ports"


@contextmanager
def port_block() -> Iterator[range]:
    """Consecutive free ports that are ours until the end, even before we listen on them.

    Others who ask here keep off by a lock on a file for each block; other programs by our
    looking first.
    """
    locks = Path(tempfile.gettempdir()) / f"florin-ports-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    starts = list(range(_FIRST_PORT, _LAST_PORT - _BLOCK_SIZE, _BLOCK_SIZE))
    # In no order, so that systems which start together do not all try the same block.
    random.shuffle(starts)
    for start in starts:
        with ExitStack() as stack:
            file = stack.enter_context((locks / str(start)).open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            block = range(start, start + _BLOCK_SIZE)
            if all(_is_free(port) for port in block):
                yield block
                return
    raise RuntimeError("no block of free ports is left on this machine")


def settings_in(block: range) -> dict[str, int]:
    """Every port setting of a system, each with a port out of `block`."""
    ports = {f"{name}_port": block[index] for index, name in enumerate(_SINGLE)}
    ports |= {f"{name}_port": block[_PROCESSES_OFFSET + index] for index, name in enumerate(_PROCESSES)}
    return ports | {"replica_port_step": _REPLICA_STEP, "health_port_step": _HEALTH_STEP}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
