"""The system that is measured: one of its own for each run, or one that already runs."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roster import ROSTER
from runner import control, secrets
from runner.isolation import isolated
from runner.port_blocks import port_block, settings_in
from runner.secrets import Secrets
from runner.settings import Settings
from runner.state import State

# Held while a run uses its folder, so that the next run knows what a killed one left behind.
_LOCK: Final = "bench.lock"
_RUN: Final = "run-"
_KEPT: Final = "kept-"


@dataclass(frozen=True, slots=True)
class System:
    """A healthy system, with what is needed to load and to audit it."""

    settings: Settings
    secrets: Secrets


@contextmanager
def fresh_system(
    *,
    trace_sample_ratio: float,
    replicas: int,
    keep: bool,
    on_progress: Callable[[State], None] = lambda _: None,
) -> Iterator[System]:
    """A fresh system in a folder and on ports of its own; gone at the end, unless its data is to be kept.

    Fresh, because a table that grew over ten runs is not measured like that of the first.
    """
    given = Settings()
    base = given.data_dir.with_name(f"{given.data_dir.name}-bench")
    base.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(base)
    with ExitStack() as stack:
        data_dir = Path(tempfile.mkdtemp(prefix=_KEPT if keep else _RUN, dir=base))
        if not keep:
            # Registered first, so that it is done last.
            stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        lock = stack.enter_context((data_dir / _LOCK).open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        block = stack.enter_context(port_block())
        # Who wants to measure stores of their own attaches to a system that runs on them.
        settings = isolated(
            given,
            data_dir=data_dir,
            trace_sample_ratio=trace_sample_ratio,
            **{f"replicas_{ROSTER[process].name}": replicas for process in ROSTER.processes},
            **settings_in(block),
        )
        stack.callback(control.stop, settings)
        control.start(settings, on_progress=on_progress, dies_with_caller=True)
        yield System(settings, secrets.load(settings))


@contextmanager
def attached_system() -> Iterator[System]:
    """The system that runs with the settings of the environment; left running.

    Raises:
        CommandError: none does.
    """
    settings = Settings()
    if control.running(settings) is None:
        raise control.not_running(settings)
    yield System(settings, secrets.load(settings))


def _clear_leftovers(base: Path) -> None:
    for folder in base.glob(f"{_RUN}*"):
        try:
            lock = (folder / _LOCK).open("r+")
        except OSError:
            continue  # Another run is just making it, or has just removed it.
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            control.stop(Settings(data_dir=folder))
            shutil.rmtree(folder, ignore_errors=True)
