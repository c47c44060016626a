"""Fresh, migrated databases: migrated once as a template, then cloned for each test."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import psycopg

from kit.store import migrations
from kit.store.connection import ROLE_SETTINGS
from tests.support.stores import Postgres


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """One service's database.

    Attributes:
        name: of the database and of the role the service connects as.
        url: for the service itself, with what the migrations grant and no more.
        owner_url: for the role that owns the tables.
        superuser_url: for tests that look behind the service's back.
    """

    name: str
    url: str
    owner_url: str
    superuser_url: str


class ServiceDatabases:
    """Makes databases of services in one Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._templates: dict[str, ServiceDatabase] = {}
        self._numbers = count(1)

    def create(self, package: str) -> ServiceDatabase:
        """Return a fresh database with the migrations of `package`, e.g. `inventory_svc`.

        Its two roles are members of the template's, which hold the tables and the grants.
        """
        template = self._templates.get(package)
        if template is None:
            template = self._templates[package] = self._migrated(package)
        name = f"{template.name}_{next(self._numbers)}"
        self._postgres.execute(
            f"CREATE ROLE {name} LOGIN IN ROLE {template.name}",
            f"CREATE ROLE {name}_owner LOGIN IN ROLE {template.name}_owner",
            f"CREATE DATABASE {name} OWNER {name}_owner TEMPLATE {template.name}",
            *_role_settings(name),
        )
        return self._database(name)

    def empty(self, package: str) -> ServiceDatabase:
        """Return a database of `package` without a table; its service's role has its name."""
        return self._empty(f"{_name_of(package)}_empty_{next(self._numbers)}")

    def drop(self, database: ServiceDatabase) -> None:
        """Delete a database and its roles, whoever is still connected."""
        self._postgres.execute(
            f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)",
            f"DROP ROLE IF EXISTS {database.name}, {database.name}_owner",
        )

    def _migrated(self, package: str) -> ServiceDatabase:
        database = self._empty(_name_of(package))
        migrations.upgrade(package, database.owner_url)
        return database

    def _empty(self, name: str) -> ServiceDatabase:
        self._postgres.execute(
            f"CREATE ROLE {name} LOGIN",
            f"CREATE ROLE {name}_owner LOGIN",
            f"CREATE DATABASE {name} OWNER {name}_owner",
            *_role_settings(name),
        )
        database = self._database(name)
        # As the runner has it. A clone's functions run as the template's owner, who may make tables there.
        with psycopg.connect(database.superuser_url) as connection:
            connection.execute(f"ALTER SCHEMA public OWNER TO {name}_owner".encode())
        return database

    def _database(self, name: str) -> ServiceDatabase:
        return ServiceDatabase(
            name=name,
            url=self._postgres.url_of(name, name),
            owner_url=self._postgres.url_of(f"{name}_owner", name),
            superuser_url=self._postgres.url_of("florin", name),
        )


def _name_of(package: str) -> str:
    return "florin_" + package.rpartition(".")[2].removesuffix("_svc")


def _role_settings(name: str) -> list[str]:
    """Return what gives the role of a service its limits, as the runner does it."""
    return [f"ALTER ROLE {name} IN DATABASE {name} SET {k} = '{v}'" for k, v in ROLE_SETTINGS.items()]
