"""A connection to one service's database, as a person behind the API needs it."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from kit.store.connection import BoundedConnection, parameters
from runner import control, databases, postgres, secrets
from runner.settings import Settings

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# As long as a person waits for a list; what a service's role asks has its own limit.
_LIST_S: Final = 30.0


async def connect(settings: Settings, service: str, *, as_auditor: bool = False) -> Connection:
    """A connection with the rights of the service itself, or of the auditor, who changes nothing.

    Of several hosts it is the one that takes writes: what a person decides on is what is there now.

    Raises:
        CommandError: there is no system to connect to.
    """
    database = databases.of(service)
    role = secrets.AUDITOR if as_auditor else database.role
    url = postgres.url(settings, secrets.load(settings), role=role, database=database.name)
    try:
        connection = await BoundedConnection.connect(url, application_name="florin", **parameters(url))
    except psycopg.OperationalError as error:
        raise control.not_running(settings) from error
    if as_auditor:
        connection.answer_s = _LIST_S
    return connection
