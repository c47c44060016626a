"""Brings each service's database to the newest version, and does not ask twice."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from roster import ROSTER
from runner import databases, program
from runner.secrets import Secrets
from runner.settings import Settings
from runner.spec import Setup, SetupFailed

# A migration of a large table is somebody's deliberate act, not something a start waits for.
_DEADLINE_S: Final = 120.0

# Enough of the log to hold the statement that failed and why.
_TAIL_LINES: Final = 15


def setup_name(process: str) -> str:
    """What the migration of a process's contexts is called in the table."""
    return f"{process} migrate"


def setup(
    settings: Settings,
    secrets: Secrets,
    process: str,
    *,
    env: Mapping[str, str],
    cwd: Path,
) -> Setup:
    """Runs `python -m <process> migrate`, unless these migrations were run before.

    Five Python processes that find nothing to do would be a third of the time that a warm start
    takes. What was run is noted in the database itself, as a comment, so that the note cannot
    outlive what it speaks of.
    """
    log_path = settings.logs_dir / f"{process}.migrate.log"
    env = {
        **env,
        **databases.addresses(settings, secrets, process),
        **databases.addresses(settings, secrets, process, as_owner=True),
    }

    async def run() -> None:
        try:
            outdated = [
                context.package
                for context in ROSTER.hosted_by(process)
                if await _noted(settings, secrets, context.package) != _note(context.package)
            ]
            if outdated:
                await _migrate(process, env=env, cwd=cwd, log_path=log_path)
            for package in outdated:
                await _take_note(settings, secrets, package)
        except psycopg.Error as error:
            raise SetupFailed(f"Postgres refused: {error}") from error

    return Setup(name=setup_name(process), run=run, needs=(databases.SETUP,))


def digest(service: str) -> str:
    """A fingerprint of everything that the migrations of `service` consist of."""
    found = hashlib.sha256()
    for folder in (_folder(service) / "migrations", _folder("kit") / "store" / "migrations"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".sql"} and path.is_file():
                found.update(path.relative_to(folder).as_posix().encode())
                found.update(path.read_bytes())
    return found.hexdigest()[:32]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SetupFailed(f"there is no package {package} in this environment; run `make env`")
    return Path(spec.origin).parent


def _note(package: str) -> str:
    return f"florin migrations {digest(package)}"


async def _noted(settings: Settings, secrets: Secrets, package: str) -> str | None:
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    async with await databases.connect(settings, secrets, databases.of(package).name) as connection:
        row = await (await connection.execute(query)).fetchone()
        return None if row is None else row[0]


async def _take_note(settings: Settings, secrets: Secrets, package: str) -> None:
    name = databases.of(package).name
    comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(
        sql.Identifier(name), sql.Literal(_note(package))
    )
    async with await databases.connect(settings, secrets, name) as connection:
        await connection.execute(comment)


async def _migrate(process_name: str, *, env: Mapping[str, str], cwd: Path, log_path: Path) -> None:
    command = (sys.executable, "-m", process_name, "migrate")
    process = await program.start(command, env=env, cwd=cwd, log_path=log_path)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise SetupFailed(f"not done within {_DEADLINE_S:g} s; its log is {log_path}") from None
    if code != 0:
        tail = "\n".join(program.last_lines(log_path, _TAIL_LINES))
        raise SetupFailed(f"{program.exit_text(code)}; its log is {log_path}", detail=tail)
