"""A connection to one service's database, as a person behind the API needs it."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from runner import control, databases, postgres, secrets
from runner.settings import Settings

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_CONNECT_DEADLINE_S: Final = 5


async def connect(settings: Settings, service: str, *, as_auditor: bool = False) -> Connection:
    """A connection with the rights of the service itself, or of the auditor, who changes nothing.

    Raises:
        CommandError: there is no system to connect to.
    """
    database = databases.of(service)
    role = secrets.AUDITOR if as_auditor else database.role
    url = postgres.url(settings, secrets.load(settings), role=role, database=database.name)
    try:
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=_CONNECT_DEADLINE_S, application_name="florin"
        )
    except psycopg.OperationalError as error:
        raise control.not_running(settings) from error
