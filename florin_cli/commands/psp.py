"""`florin psp`: how the payment service provider's simulator behaves."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from typing import Annotated, Any

import typer

from runner.access import clients
from runner.settings import Settings
from terminal import calls, tables
from terminal.errors import EXIT_USAGE, CommandError
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(name="psp", help="See and change how the PSP simulator behaves.", no_args_is_help=True)


@app.command()
def config(as_json: JsonOption = False) -> None:
    """Show how the simulator behaves now."""

    async def ask() -> dict[str, Any]:
        async with clients.psp(Settings()) as psp:
            return await psp.config()

    _show(ask(), as_json)


@app.command("set")
def set_(
    settings: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE…", help="latency_ms=300, outage=true, webhook.drop_rate=0.5, …"),
    ],
    as_json: JsonOption = False,
) -> None:
    """Change how it behaves, at once and until it restarts; docs/reference/psp-simulator.md has all names."""
    changes = parse_changes(settings)

    async def ask() -> dict[str, Any]:
        async with clients.psp(Settings()) as psp:
            return await psp.change(changes)

    _show(ask(), as_json)


@app.command()
def reset(as_json: JsonOption = False) -> None:
    """Make it a healthy provider again."""

    async def ask() -> dict[str, Any]:
        async with clients.psp(Settings()) as psp:
            return await psp.reset()

    _show(ask(), as_json)


@app.command()
def stats(as_json: JsonOption = False) -> None:
    """Show what it has counted: charges, webhooks, faults that were met."""

    async def ask() -> dict[str, Any]:
        async with clients.psp(Settings()) as psp:
            return await psp.stats()

    _show(ask(), as_json)


def parse_changes(settings: list[str]) -> dict[str, Any]:
    """`["latency_ms=5", "webhook.reorder=true"]` as the document the simulator takes.

    Raises:
        CommandError: one of them is not NAME=VALUE with a number, true or false.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not name or not isinstance(value, bool | int | float):
            raise CommandError(
                f"{setting!r} cannot be set.",
                way_out="Write NAME=VALUE, with a number, true or false; `florin psp config` has the names.",
                exit_code=EXIT_USAGE,
            )
        group, _, member = name.rpartition(".")
        target = changes.setdefault(group, {}) if group else changes
        target[member] = value
    return changes


def _show(ask: Coroutine[Any, Any, dict[str, Any]], as_json: bool) -> None:
    document = calls.run(ask)
    if as_json:
        print_json(document)
    else:
        stdout.print(tables.facts(_flat(document)))


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    rows: dict[str, str] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            rows |= _flat(value, f"{prefix}{name}.")
        else:
            rows[f"{prefix}{name}"] = json.dumps(value)
    return rows
