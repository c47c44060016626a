"""`florin up`: the whole system in the background."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from demo import products
from roster import ROSTER
from runner import control, replicas
from runner.access import clients
from runner.secrets import secrets_file
from runner.settings import Settings
from runner.state import ProcessState, State
from terminal import calls
from terminal.output import stderr, stdout

app = typer.Typer()


@app.command()
def up(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Start just this process and what it needs; may be repeated."),
    ] = None,
    deadline_s: Annotated[
        float, typer.Option("--deadline", help="Give up after so many seconds.")
    ] = control.UP_DEADLINE_S,
) -> None:
    """Start the system and return once all of it is healthy."""
    settings = Settings()
    before = control.running(settings)
    began_at = time.monotonic()
    with Live(console=stderr, transient=True, refresh_per_second=10) as live:
        state = control.start(
            settings,
            only=only or [],
            deadline_s=deadline_s,
            on_progress=lambda seen: live.update(_progress(seen)),
        )
    if before is not None and before.healthy:
        stdout.print("Already up.")
    else:
        stdout.print(f"Up and healthy after {time.monotonic() - began_at:.1f} s.")
    stdout.print(_addresses(settings, state))
    if not only:
        calls.run(_put_on_sale(settings))


async def _put_on_sale(settings: Settings) -> None:
    """So that there is something to buy; what is there already stays as it is."""
    async with clients.merchant(settings, products.MERCHANT) as merchant:
        await products.put_on_sale(merchant)


def _progress(state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    for process in state.processes:
        mark = "[green]✓[/]" if process.healthy else "[yellow]…[/]"
        table.add_row(mark, process.name, f"[dim]{_what(process)}[/]")
    return table


def _what(process: ProcessState) -> str:
    if process.healthy:
        return ""
    return process.detail + (f", {process.restarts} restarts" if process.restarts else "")


def _addresses(settings: Settings, state: State) -> Table:
    table = Table.grid(padding=(0, 2))
    running = {process.name for process in state.processes}
    host = settings.local_host
    if "envoy" in running:
        table.add_row("API (REST, gRPC, gRPC-Web)", f"http://{host}:{settings.edge_port}")
        table.add_row("Envoy admin", f"http://127.0.0.1:{settings.envoy_admin_port}")
    for process in state.processes:
        if replicas.process_of(process.name) in ROSTER.processes:
            table.add_row(f"{process.name} (gRPC)", f"{host}:{process.port}")
        elif process.name != "envoy":
            table.add_row(process.name, f"{host}:{process.port}")
    table.add_row("Logs", str(settings.logs_dir))
    table.add_row("Passwords and keys", str(secrets_file(settings)))
    return table
