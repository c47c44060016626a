"""What commands print with: colour for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from terminal.errors import CommandError

# For people. What a program may read goes to standard output, progress and errors elsewhere.
stdout: Final = Console(soft_wrap=True)
stderr: Final = Console(stderr=True, soft_wrap=True)

# The option of every command whose answer a program may want to read.
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def print_json(value: Any) -> None:
    """Prints `value` as JSON, on one line when no person is looking."""
    indent = 2 if sys.stdout.isatty() else None
    print(json.dumps(value, indent=indent, ensure_ascii=False))


def print_error(error: CommandError) -> None:
    """Prints what is wrong and the way out, and nothing a reader has to search through."""
    if error.detail:
        stderr.print(escape(error.detail), style="dim")
    stderr.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.way_out:
        stderr.print(f"[bold]way out:[/] {escape(error.way_out)}")
