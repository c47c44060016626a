"""Brings each service's database to the newest version, and does not ask twice."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from runner import databases, postgres, program
from runner.secrets import Secrets
from runner.settings import ServiceName, Settings
from runner.spec import Step, StepFailed

# A migration of a large table is somebody's deliberate act, not something a start waits for.
_DEADLINE_S: Final = 120.0

# Enough of the log to hold the statement that failed and why.
_TAIL_LINES: Final = 15


def step_name(service: ServiceName) -> str:
    """What the migration of `service` is called in the table."""
    return f"{service} migrate"


def step(
    settings: Settings,
    secrets: Secrets,
    service: ServiceName,
    *,
    env: Mapping[str, str],
    cwd: Path,
) -> Step:
    """Runs `python -m <service> migrate`, unless these migrations were run before.

    Five Python processes that find nothing to do would be a third of the time that a warm start
    takes. What was run is noted in the database itself, as a comment, so that the note cannot
    outlive what it speaks of.
    """
    log_path = settings.logs_dir / f"{service}.migrate.log"
    database = databases.of(service)
    env = {
        **env,
        "FLORIN_DATABASE_URL": _url(settings, secrets, database, role=database.role),
        "FLORIN_MIGRATE_DATABASE_URL": _url(settings, secrets, database, role=database.owner),
    }

    async def run() -> None:
        wanted = f"florin migrations {digest(service)}"
        try:
            async with await databases.connect(settings, secrets, database.name) as connection:
                if await _noted(connection) == wanted:
                    return
                await _migrate(service, env=env, cwd=cwd, log_path=log_path)
                note = sql.SQL("COMMENT ON DATABASE {} IS {}")
                await connection.execute(note.format(sql.Identifier(database.name), sql.Literal(wanted)))
        except psycopg.Error as error:
            raise StepFailed(f"Postgres refused: {error}") from error

    return Step(name=step_name(service), run=run, needs=(databases.STEP,))


def digest(service: str) -> str:
    """A fingerprint of everything that the migrations of `service` consist of."""
    found = hashlib.sha256()
    for folder in (_folder(service) / "migrations", _folder("kit") / "store" / "migrations"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".sql"} and path.is_file():
                found.update(path.relative_to(folder).as_posix().encode())
                found.update(path.read_bytes())
    return found.hexdigest()[:32]


def _url(settings: Settings, secrets: Secrets, database: databases.Database, *, role: str) -> str:
    return postgres.url(settings, secrets, role=role, database=database.name)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StepFailed(f"there is no package {package} in this environment; run `make env`")
    return Path(spec.origin).parent


async def _noted(connection: psycopg.AsyncConnection[Any]) -> str | None:
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    row = await (await connection.execute(query)).fetchone()
    return None if row is None else row[0]


async def _migrate(service: ServiceName, *, env: Mapping[str, str], cwd: Path, log_path: Path) -> None:
    command = (sys.executable, "-m", service, "migrate")
    process = await program.start(command, env=env, cwd=cwd, log_path=log_path)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise StepFailed(f"not done within {_DEADLINE_S:g} s; its log is {log_path}") from None
    if code != 0:
        tail = "\n".join(program.last_lines(log_path, _TAIL_LINES))
        raise StepFailed(f"{program.exit_text(code)}; its log is {log_path}", detail=tail)
