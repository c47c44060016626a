"""The system the demo runs on: its own ports and data, gone when it is over."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner import control, ports
from runner.control import DEMO_FOLDER
from runner.isolation import isolated
from runner.port_blocks import port_block, settings_in
from runner.settings import Settings
from runner.state import State


@dataclass(frozen=True, slots=True)
class System:
    """A running system that belongs to this demo alone."""

    settings: Settings
    # Whether logs and e-mails can still be read when the demo is over.
    data_is_kept: bool


@contextmanager
def fresh_system(
    base: Settings, *, on_progress: Callable[[State], None] = lambda _: None
) -> Iterator[System]:
    """A healthy system with nothing in it, stopped at the end whatever happens.

    It has the usual ports if they are free, so that what the demo prints can be tried elsewhere,
    and others if anything listens there, for instance the system of `florin up`. Its data are in a
    folder of their own, kept until the next demo; a second demo at the same time uses a temporary
    one.

    Raises:
        CommandError: the system did not come up; it has been stopped again.
    """
    with ExitStack() as stack:
        own = isolated(base, data_dir=base.data_dir / DEMO_FOLDER)
        data_is_kept = control.running(own) is None
        if not data_is_kept:
            own = isolated(own, data_dir=Path(stack.enter_context(_temporary_folder())) / "data")
        if ports.taken(ports.wanted(own), host=own.bind_host):
            own = isolated(own, **settings_in(stack.enter_context(port_block())))
        control.reset(own)
        # Also if the start fails half-way or is interrupted.
        stack.callback(control.stop, own)
        # The kernel ends it with us, should we be killed.
        control.start(own, on_progress=on_progress, dies_with_caller=True)
        yield System(own, data_is_kept)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="florin-demo-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
