"""`florin`: the command line. Commands live in `florin_cli/commands`, one module each.

Rooms beside this one bring theirs as entry points, and are not named here.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from florin_cli import commands
from terminal.errors import EXIT_INTERRUPTED, EXIT_USAGE, CommandError
from terminal.output import print_error

# Under this name `pyproject.toml` says which room brings which command: `bench = "bench.command:app"`.
_BROUGHT: Final = "florin.commands"


def main() -> None:
    """Runs one command and ends the process with its exit code."""
    try:
        build(sys.argv[1:])()
    except CommandError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except ValidationError as error:
        print_error(_bad_settings(error))
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command line, with all commands, or only those that `arguments` name.

    Only those, because each command imports what it needs: `florin status` should not wait for
    the libraries of the benchmark.
    """
    app = typer.Typer(
        help="Checkout and payments that account for every cent and every unit.",
        no_args_is_help=True,
        # Errors of ours are shown as one line; a traceback is for mistakes, and then in full.
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    known = _commands()
    for name in sorted([name for name in known if name in arguments] or known):
        app.add_typer(known[name].load())
    return app


def _commands() -> dict[str, EntryPoint]:
    """Where each command is, by its name; nothing of it is imported yet."""
    folder = commands.__name__
    own = (
        EntryPoint(module.name, f"{folder}.{module.name}:app", _BROUGHT)
        for module in pkgutil.iter_modules(commands.__path__)
    )
    # Our own come last: what somebody else brings under the same name does not replace them.
    return {command.name: command for command in (*metadata.entry_points(group=_BROUGHT), *own)}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"florin {metadata.version('florin')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    del version


def _bad_settings(error: ValidationError) -> CommandError:
    problems = [
        f"FLORIN_{'_'.join(str(part) for part in each['loc']).upper()}: {each['msg']}"
        for each in error.errors()
    ]
    return CommandError(
        f"A setting cannot be used: {'; '.join(problems)}.",
        way_out="Correct that environment variable, or unset it.",
    )


if __name__ == "__main__":
    main()
