"""Everything the system needs of its machine, each checked, each with the way out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from runner import control, interpreter, ports, postgres, privilege, secrets, wheels
from runner.settings import Settings
from terminal.errors import CommandError

# Postgres's log alone may take 4 GB (max_wal_size) before it is recycled.
_WANTED_DISK_BYTES: Final = 6 * 1024**3

# All processes together take about 1.5 GB under load.
_WANTED_MEMORY_BYTES: Final = 2 * 1024**3

_VERSION_DEADLINE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    way_out: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Looks at everything, one finding after the other."""
    yield _python()
    programs: list[tuple[str, Callable[[Settings], Path], str | None]] = [
        ("postgres", wheels.postgres_server, settings.postgres_url),
        ("nats", wheels.nats_server, settings.nats_url),
        ("redis", wheels.redis_server, settings.redis_url),
        ("envoy", wheels.envoy, None),
    ]
    for name, find, external in programs:
        yield _program(settings, name, find, external=external is not None)
    yield _user_for_postgres(settings)
    yield _supervision()
    yield _data_dir(settings)
    yield _disk(settings)
    yield _memory()
    yield from _ports(settings)


def _python() -> Finding:
    build = interpreter.running()
    return Finding("python", sys.version_info >= (3, 11), f"{build} at {sys.executable}")


def _program(settings: Settings, name: str, find: Callable[[Settings], Path], *, external: bool) -> Finding:
    title = f"program {name}"
    if external:
        return Finding(title, True, f"not needed: FLORIN_{name.upper()}_URL is set")
    try:
        path = find(settings)
    except CommandError as error:
        return Finding(title, False, error.message, error.way_out)
    try:
        ran = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            title,
            False,
            f"{path} does not run: {error}",
            f"Set FLORIN_{name.upper()}_BIN to a program for this machine.",
        )
    lines = [line.strip() for line in ran.stdout.splitlines() if line.strip()]
    return Finding(title, True, f"{lines[0] if lines else 'runs'} ({path})")


def _user_for_postgres(settings: Settings) -> Finding:
    title = "user for postgres"
    if settings.postgres_url is not None:
        return Finding(title, True, "not needed: FLORIN_POSTGRES_URL is set")
    try:
        user = postgres.runs_as(settings)
    except CommandError as error:
        return Finding(title, False, error.message, error.way_out)
    return Finding(title, True, f"{user.pw_name}, because we are root" if user else "ourselves")


def _supervision() -> Finding:
    if privilege.setpriv() is None:
        return Finding(
            "nothing left behind",
            True,
            "no `setpriv`: after a kill -9 of the supervisor, the next `up` or `down` cleans up",
        )
    return Finding("nothing left behind", True, "the kernel ends all processes with the supervisor")


def _data_dir(settings: Settings) -> Finding:
    folder = _nearest_existing(settings.data_dir)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "data directory",
            False,
            f"{folder} cannot be written to",
            "Set FLORIN_DATA_DIR to a folder of yours.",
        )
    lost = (settings.data_dir / "postgres.initialised").exists() and not (
        settings.data_dir / "postgres" / "PG_VERSION"
    ).exists()
    if lost:
        return Finding(
            "data directory",
            False,
            f"the Postgres data in {settings.data_dir} is gone",
            "Restore it from a copy, or begin anew with `florin reset`.",
        )
    if secrets.secrets_file(settings).exists():
        try:
            secrets.load(settings)
        except CommandError as error:
            return Finding("data directory", False, error.message, error.way_out)
    return Finding("data directory", True, str(settings.data_dir))


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _disk(settings: Settings) -> Finding:
    folder = _nearest_existing(settings.data_dir)
    free = shutil.disk_usage(folder).free
    return Finding(
        "disk space",
        free >= _WANTED_DISK_BYTES,
        f"{free / 1024**3:.1f} GB free in {folder}",
        f"Free {_WANTED_DISK_BYTES / 1024**3:.0f} GB, or set FLORIN_DATA_DIR to another disk.",
    )


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    return Finding(
        "memory",
        available >= _WANTED_MEMORY_BYTES,
        f"{available / 1024**3:.1f} GB available",
        "Close other programs; the system needs about 2 GB.",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    if control.running(settings) is not None:
        yield Finding("ports", True, "ours: the system is running")
        return
    wanted = ports.wanted(settings)
    taken = ports.taken(wanted, host=settings.bind_host)
    if not taken:
        yield Finding("ports", True, f"all free: {', '.join(str(port) for port in wanted)}")
    for each in taken:
        yield Finding(f"port {each.port}", False, str(each), f"End that program, or set {each.variable}.")
