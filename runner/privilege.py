"""How a child process is tied to us, and how Postgres is run by somebody who is not root.

Both are done by `setpriv` (util-linux, part of every common distribution) between our fork and
the program: it asks the kernel for a signal when we die, and changes the user. Doing the same in
Python between fork and exec is not safe in a process that has threads.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from terminal.errors import CommandError

# Tried in this order: the first is there when the distribution's Postgres is, the second always.
_UNPRIVILEGED_USERS: Final = ("postgres", "nobody")

# Bit numbers of the capabilities that let a process pass through other users' folders
# (linux/capability.h).
_PASSAGE_CAPABILITIES: Final = {"dac_override": 1, "dac_read_search": 2}


@cache
def setpriv() -> str | None:
    """The path of `setpriv`, or None where it is not there (it is part of Linux only)."""
    return shutil.which("setpriv", path=os.environ.get("PATH", "") + ":/usr/bin:/bin")


def is_root() -> bool:
    """Whether we run as root, which Postgres refuses to do."""
    return os.geteuid() == 0


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run Postgres as: somebody else when we are root, ourselves (None) otherwise.

    Raises:
        CommandError: we are root and there is nobody else, or no way to become them.
    """
    if not is_root():
        return None
    if setpriv() is None:
        raise CommandError(
            "Postgres refuses to run as root, and `setpriv` is not there to run it as another.",
            way_out="Install util-linux, or run Florin as an ordinary user.",
        )
    for name in _UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CommandError(
        "Postgres refuses to run as root, and there is no user `postgres` or `nobody`.",
        way_out="Create one with `useradd --system postgres`, or run Florin as an ordinary user.",
    )


def confined(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    user: pwd.struct_passwd | None = None,
    reaches: Iterable[Path] = (),
) -> tuple[str, ...]:
    """`command`, made to get `death_signal` when we die and to run as `user`.

    `reaches` are the paths the program must get to. Where another user could not (a checkout
    below a home directory of mode 700), the program keeps the capabilities to pass; otherwise it
    gets none.
    """
    program = setpriv()
    if program is None:
        return tuple(command)
    options = ["--pdeathsig", death_signal.name.removeprefix("SIG")]
    if user is not None:
        options += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        if not all(can_reach(path, user) for path in reaches) and (names := _held_capabilities()):
            wanted = ",".join(f"+{name}" for name in names)
            options += [f"--inh-caps={wanted}", f"--ambient-caps={wanted}"]
    return (program, *options, "--", *command)


def can_reach(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` may walk to `path`, by the permission bits of every folder above it."""
    return all(_may_enter(folder, user) for folder in path.absolute().parents)


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    found = folder.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _held_capabilities() -> list[str]:
    """Those of the passage capabilities that we hold; a container may have taken some away."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            held = int(line.split()[1], 16)
            return [name for name, bit in _PASSAGE_CAPABILITIES.items() if held >> bit & 1]
    return []
