"""A database for each context, its owner, and a role for it that may do no more than it must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from kit.runtime.roster import Context
from kit.store.connection import ROLE_SETTINGS, parameters
from roster import ROSTER
from runner import postgres
from runner.secrets import AUDITOR, Secrets
from runner.settings import Settings
from runner.spec import SetupFailed

# What the setup that makes them is called in the table.
SETUP: Final = "databases"

_CONNECT_DEADLINE_S: Final = 10

# Replaying years of entries takes a while; a proof that hangs proves nothing.
_AUDITOR_SETTINGS: Final = {"statement_timeout": "10min"}


@dataclass(frozen=True, slots=True)
class Database:
    """One context's database and its two roles."""

    name: str

    @property
    def owner(self) -> str:
        """Runs the migrations and owns every table."""
        return f"{self.name}_owner"

    @property
    def role(self) -> str:
        """What the service connects as: it may do what the migrations grant."""
        return self.name


def of(package: str) -> Database:
    """The database of a context."""
    return Database(ROSTER[package].database)


def addresses(
    settings: Settings, secrets: Secrets, process: str, *, as_owner: bool = False
) -> dict[str, str]:
    """What the contexts of a process are told of their databases, by setting."""

    def setting(context: Context) -> str:
        return f"FLORIN_{context.name.upper()}_{'MIGRATE_' if as_owner else ''}DATABASE_URL"

    def address(database: Database) -> str:
        if as_owner:
            return postgres.url(settings, secrets, role=database.owner, database=database.name)
        return postgres.service_url(settings, secrets, role=database.role, database=database.name)

    return {setting(context): address(of(context.package)) for context in ROSTER.hosted_by(process)}


async def ensure(settings: Settings, secrets: Secrets) -> None:
    """Makes every role and database that is not there yet, and sets who may do what in them.

    All of it can be repeated, so a start that was cut off is completed by the next.

    Raises:
        SetupFailed: Postgres refused.
    """
    databases = [of(package) for package in ROSTER.packages]
    try:
        async with await connect(settings, secrets, "postgres") as connection:
            await _ensure_roles(connection, secrets, databases)
            for database in await _missing(connection, databases):
                await _create(connection, database)
            for database in databases:
                await _restrict_access(connection, database)
                await _limit(connection, database)
        for database in databases:
            async with await connect(settings, secrets, database.name) as connection:
                await _restrict_schema(connection, database)
    except psycopg.Error as error:
        raise SetupFailed(f"Postgres refused: {error}") from error


async def connect(settings: Settings, secrets: Secrets, database: str) -> psycopg.AsyncConnection[Any]:
    """A connection to `database` as the superuser, each statement its own transaction."""
    url = postgres.superuser_url(settings, secrets, database=database)
    return await psycopg.AsyncConnection.connect(
        url, **parameters(url) | {"connect_timeout": _CONNECT_DEADLINE_S, "application_name": "florin runner"}
    )


async def _ensure_roles(
    connection: psycopg.AsyncConnection[Any], secrets: Secrets, databases: list[Database]
) -> None:
    rows = await (await connection.execute("SELECT rolname FROM pg_roles")).fetchall()
    present = {row[0] for row in rows}
    wanted = [AUDITOR, *(name for each in databases for name in (each.owner, each.role))]
    for role in wanted:
        if role in present:
            continue
        await connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(secrets.postgres_passwords[role])
            )
        )
        if role == AUDITOR:
            grant = sql.SQL("GRANT pg_read_all_data TO {}")
            await connection.execute(grant.format(sql.Identifier(role)))


async def _missing(connection: psycopg.AsyncConnection[Any], databases: list[Database]) -> list[Database]:
    rows = await (await connection.execute("SELECT datname FROM pg_database")).fetchall()
    present = {row[0] for row in rows}
    return [database for database in databases if database.name not in present]


async def _create(connection: psycopg.AsyncConnection[Any], database: Database) -> None:
    name, owner = sql.Identifier(database.name), sql.Identifier(database.owner)
    # Where we are no superuser, as on managed servers, we must be a member of the owner.
    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
    await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))


async def _restrict_access(connection: psycopg.AsyncConnection[Any], database: Database) -> None:
    for statement in (
        sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        sql.SQL("GRANT CONNECT ON DATABASE {name} TO {role}, {auditor}"),
    ):
        await connection.execute(
            statement.format(
                name=sql.Identifier(database.name),
                role=sql.Identifier(database.role),
                auditor=sql.Identifier(AUDITOR),
            )
        )


async def _limit(connection: psycopg.AsyncConnection[Any], database: Database) -> None:
    """Gives each role its limits in this database, which hold from its next connection on."""
    for role, settings in ((database.role, ROLE_SETTINGS), (AUDITOR, _AUDITOR_SETTINGS)):
        for name, value in settings.items():
            await connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(role),
                    sql.Identifier(database.name),
                    sql.Identifier(name),
                    sql.Literal(value),
                )
            )


async def _restrict_schema(connection: psycopg.AsyncConnection[Any], database: Database) -> None:
    owner, role = sql.Identifier(database.owner), sql.Identifier(database.role)
    for statement in (
        sql.SQL("ALTER SCHEMA public OWNER TO {owner}"),
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {role}"),
    ):
        await connection.execute(statement.format(owner=owner, role=role))
