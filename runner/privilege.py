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
import subprocess
import sys
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

# Walks to each folder in turn, as far as the kernel lets it.
_WALK: Final = 'for folder; do cd "$folder" || exit; done'

_WALK_DEADLINE_S: Final = 10.0


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
        if any(closed_folder(path, user) for path in reaches):
            options += _passage()
    return (program, *options, "--", *command)


def require_passage(user: pwd.struct_passwd | None, reaches: Iterable[Path]) -> None:
    """Makes sure that a program run as `user` gets to `reaches`, by letting one walk there.

    Raises:
        CommandError: it does not; the message names the folder that is in its way.
    """
    if user is None:
        return
    paths = list(reaches)
    walk = ("/bin/sh", "-c", _WALK, "sh", *(str(_nearest_folder(path)) for path in paths))
    try:
        walked = subprocess.run(
            confined(walk, death_signal=signal.SIGKILL, user=user, reaches=paths),
            capture_output=True,
            text=True,
            cwd="/",
            timeout=_WALK_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    else:
        if walked.returncode == 0:
            return
        problem = walked.stderr.strip()
    closed = next(filter(None, (closed_folder(path, user) for path in paths)), None)
    place = f", who may not enter {closed}" if closed else ""
    raise CommandError(
        f"Postgres refuses to run as root, and cannot be run as `{user.pw_name}`{place}: {problem}",
        way_out="Run Florin as an ordinary user, or set FLORIN_POSTGRES_URL to a server of your own"
        + ("; or use a checkout and a data directory that everybody may enter." if closed else "."),
    )


def closed_folder(path: Path, user: pwd.struct_passwd) -> Path | None:
    """The first folder above `path` that `user` may not enter, by its permission bits."""
    # Both: a link can lead into a closed folder, and be in one. Where it leads comes first, for a link
    # into a folder that is closed to ourselves cannot even be asked whether it exists.
    above = (*reversed(path.resolve().parents), *reversed(path.absolute().parents))
    return next((each for each in above if each.exists() and not _may_enter(each, user)), None)


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    found = folder.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _passage() -> list[str]:
    """What lets a program pass through closed folders, as far as we may hand it on."""
    if not (names := _held_capabilities()):
        return []
    wanted = ",".join(f"+{name}" for name in names)
    # The bit is for access(2), by which initdb looks at its own programs: without it the kernel
    # answers as if whoever is not root had no capabilities at all.
    return ["--securebits=+no_setuid_fixup", f"--inh-caps={wanted}", f"--ambient-caps={wanted}"]


def _held_capabilities() -> list[str]:
    """Those of the passage capabilities that we hold; a container may have taken some away."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            held = int(line.split()[1], 16)
            return [name for name, bit in _PASSAGE_CAPABILITIES.items() if held >> bit & 1]
    return []


def main() -> None:
    """Ends with an error if Postgres could not run with its programs and data in the given folders.

    `make env` asks this before it downloads anything, so nothing but the standard library is used.
    """
    try:
        require_passage(unprivileged_user(), [Path(folder, "x") for folder in sys.argv[1:]])
    except CommandError as error:
        sys.exit(f"error: {error.message}\nway out: {error.way_out}")


if __name__ == "__main__":
    main()
