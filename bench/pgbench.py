"""`pgbench` TPC-B on the same Postgres: what this machine's disk and processors are worth today."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from runner import postgres, wheels
from runner.secrets import Secrets
from runner.settings import Settings
from terminal.errors import CommandError

_CLIENTS: Final = 16
# Fewer branches than clients, and they would only wait for one another's rows.
_SCALE: Final = _CLIENTS
_THREADS: Final = 2
_DATABASE: Final = "florin_bench_pgbench"

# Loading 1.6 million rows takes seconds; a slow disk may take a minute.
_INIT_DEADLINE_S: Final = 180.0
_RUN_SLACK_S: Final = 60.0


@contextmanager
def database(settings: Settings, secrets: Secrets) -> Iterator[None]:
    """A database for `measure`, beside the system's own ones and gone at the end."""
    name = sql.Identifier(_DATABASE)
    admin_url = postgres.superuser_url(settings, secrets)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            _pgbench(settings, secrets, "-i", "-q", "-s", str(_SCALE), deadline_s=_INIT_DEADLINE_S)
            yield
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def measure(settings: Settings, secrets: Secrets, *, duration_s: float) -> float:
    """Transactions per second of TPC-B at 16 clients."""
    options = ("-n", "-c", str(_CLIENTS), "-j", str(_THREADS), "-T", str(max(1, round(duration_s))))
    told = _pgbench(settings, secrets, *options, deadline_s=duration_s + _RUN_SLACK_S)
    found = re.search(r"^tps = ([0-9.]+)", told, re.MULTILINE)
    if found is None:
        raise CommandError("pgbench did not say how fast it was.", detail=told)
    return float(found[1])


def _pgbench(settings: Settings, secrets: Secrets, *options: str, deadline_s: float) -> str:
    parts = urlsplit(postgres.superuser_url(settings, secrets, database=_DATABASE))
    program = wheels.postgres_server(settings).with_name("pgbench")
    # The password goes by the environment: arguments can be read by everybody on the machine.
    environment = os.environ | {
        "PGHOST": parts.hostname or "127.0.0.1",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
    }
    try:
        done = subprocess.run(
            [str(program), *options, _DATABASE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"pgbench could not be run: {error}.") from error
    if done.returncode != 0:
        raise CommandError("pgbench failed.", detail=done.stderr)
    return done.stdout
