"""`florin logs`: what the processes wrote."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from runner import program
from runner.settings import Settings
from terminal.errors import CommandError

app = typer.Typer()

# Fast enough to read along, slow enough not to be seen in `top`.
_FOLLOW_S: Final = 0.2


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A process, or all of them.")] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what is written from now on.")
    ] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="So many last lines.")] = 50,
) -> None:
    """Show the last lines of one process's log, or of every log."""
    settings = Settings()
    paths = _paths(settings, name)
    # Its name is on each line only where lines of several processes meet.
    width = 0 if name else max(len(path.stem) for path in paths)
    ends = {path: path.stat().st_size for path in paths}
    for path in paths:
        _print(path, program.last_lines(path, lines), width)
    while follow:
        for path in paths:
            ends[path] = _print_new(path, ends[path], width)
        sys.stdout.flush()
        time.sleep(_FOLLOW_S)


def _paths(settings: Settings, name: str) -> list[Path]:
    paths = sorted(settings.logs_dir.glob("*.log"))
    if not paths:
        raise CommandError(f"There are no logs in {settings.logs_dir}.", way_out="Start it with `florin up`.")
    chosen = [path for path in paths if name in {"", path.stem}]
    if not chosen:
        names = ", ".join(path.stem for path in paths)
        raise CommandError(f"There is no log of {name}.", way_out=f"Choose from {names}.")
    return chosen


def _print_new(path: Path, start: int, width: int) -> int:
    """Prints the whole lines after `start`; returns where the next look begins."""
    try:
        with path.open("rb") as log:
            if log.seek(0, 2) < start:
                # Put aside and begun anew.
                start = 0
            log.seek(start)
            text = log.read()
    except FileNotFoundError:
        return 0
    whole = text[: text.rfind(b"\n") + 1]
    _print(path, whole.decode(errors="replace").splitlines(), width)
    return start + len(whole)


def _print(path: Path, lines: list[str], width: int) -> None:
    prefix = f"{path.stem:<{width}} | " if width else ""
    for line in lines:
        print(f"{prefix}{line}")
