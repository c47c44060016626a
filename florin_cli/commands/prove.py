"""`florin prove`: whether every cent and every unit is where it should be."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proof import CHECKS, Audit, Check, Memory, Proof
from proof import prove as prove_all
from runner.access.audit import audit_of, memory_of
from runner.settings import Settings
from terminal.errors import EXIT_FAILED
from terminal.output import JsonOption, print_json, stderr, stdout

app = typer.Typer()


@app.command()
def prove(
    full: Annotated[
        bool, typer.Option("--full", help="Look at everything again, not only at what is new.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare orders, payments, books and stock with each other and with the PSP's own lists."""
    settings = Settings()
    proof = asyncio.run(_prove(audit_of(settings), memory_of(settings), full=full))
    if as_json:
        print_json(proof.as_json())
    else:
        print_proof(proof)
    if not proof.ok:
        raise typer.Exit(EXIT_FAILED)


def print_proof(proof: Proof) -> None:
    """Prints each check with what it has looked at, or what is wrong."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in proof.checks:
        mark = "[green]ok[/]" if check.ok else "[bold red]NOT OK[/]"
        table.add_row(mark, check.name, escape(check.detail))
    stdout.print(table)
    stdout.print("\n[green]Proven.[/]" if proof.ok else "\n[bold red]Not proven.[/]")


async def _prove(audit: Audit, memory: Memory, *, full: bool) -> Proof:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        task = progress.add_task("checking", total=len(CHECKS))

        def advance(check: Check) -> None:
            progress.update(task, advance=1, description=f"checked {check.name}")

        return await prove_all(audit, memory, full=full, on_verdict=advance)
