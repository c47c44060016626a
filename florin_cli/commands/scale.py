"""`florin scale PROCESS=N …`: more replicas or fewer, while the system runs."""

from __future__ import annotations

from typing import Annotated

import typer

from runner import scaling
from runner.settings import Settings
from terminal.errors import EXIT_USAGE, CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer()


@app.command()
def scale(
    wanted: Annotated[
        list[str], typer.Argument(metavar="PROCESS=N ...", help="How many replicas of a process to have.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Start replicas of processes, or end some in order, and return once there are as many as asked for."""
    counts = scaling.scale(Settings(), dict(_count(each) for each in wanted))
    if as_json:
        print_json({"replicas": counts})
    else:
        stdout.print(", ".join(f"{process}: {count}" for process, count in counts.items()))


def _count(wanted: str) -> tuple[str, int]:
    process, _, count = wanted.partition("=")
    if not count.isdecimal():
        raise CommandError(
            f"{wanted} does not say how many.", way_out="Write order_svc=2, say.", exit_code=EXIT_USAGE
        )
    return process, int(count)
