"""Dead letters and waiting events of all services: looked at as auditor, changed as the service itself."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import nats
import nats.errors
import psycopg
from psycopg.rows import class_row

from florin_cli.errors import CommandError
from florin_cli.runner import control, databases, postgres, secrets
from florin_cli.runner import nats as broker
from florin_cli.runner.settings import SERVICE_NAMES, ServiceName, Settings
from kit.events import shard_of
from kit.pump import MAX_ATTEMPTS

_CONNECT_DEADLINE_S: Final = 5
_PUBLISH_DEADLINE_S: Final = 5.0

# Rows of one service that a terminal is shown; more than that is no longer read one by one.
_MAX_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events of one kind that not all of their consumers have confirmed."""

    type: str
    events: int
    oldest_s: float
    # Of the one that was sent most often; 1 is the normal first time.
    sends: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that a service gave up on."""

    id: str
    # Whose database it is in.
    consumer: ServiceName
    event_id: str
    type: str
    aggregate_id: str
    payload: bytes
    headers: Mapping[str, str]
    error: str
    attempts: int
    created_at: datetime
    # `replayed` or `discarded`; None while it waits for a person.
    outcome: str | None

    def document(self) -> dict[str, Any]:
        """The letter as JSON has it; the payload in hexadecimal."""
        return {
            "id": self.id,
            "consumer": self.consumer,
            "event_id": self.event_id,
            "type": self.type,
            "aggregate_id": self.aggregate_id,
            "payload": self.payload.hex(),
            "headers": dict(self.headers),
            "error": self.error,
            "attempts": self.attempts,
            "create_time": self.created_at.isoformat(),
            "outcome": self.outcome,
        }


_LETTER_SQL: Final = (
    "SELECT id, consumer, event_id, type, aggregate_id, payload, headers, error, attempts,"
    " created_at, outcome FROM dead_letters"
)


async def waiting(settings: Settings) -> dict[ServiceName, list[Waiting]]:
    """What is in each service's outbox, by kind of event."""
    found: dict[ServiceName, list[Waiting]] = {}
    for service in SERVICE_NAMES:
        async with await _connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Waiting))
            await cursor.execute(
                "SELECT type, count(*) AS events, max(sends) AS sends,"
                " extract(epoch FROM now() - min(created_at))::float AS oldest_s"
                " FROM outbox GROUP BY type ORDER BY type"
            )
            found[service] = await cursor.fetchall()
    return found


async def letters(settings: Settings, *, closed_too: bool = False) -> list[Letter]:
    """The dead letters of all services, those that wait for a person or all there ever were."""
    which = "" if closed_too else " WHERE acknowledged_at IS NULL"
    found: list[Letter] = []
    for service in SERVICE_NAMES:
        async with await _connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Letter))
            await cursor.execute(f"{_LETTER_SQL}{which} ORDER BY id LIMIT %s", (_MAX_LETTERS,))
            found += await cursor.fetchall()
    return found


async def letter(settings: Settings, letter_id: str) -> Letter:
    """One dead letter, whichever service has it.

    Raises:
        CommandError: none has.
    """
    for service in SERVICE_NAMES:
        async with await _connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Letter))
            await cursor.execute(f"{_LETTER_SQL} WHERE id = %s", (letter_id,))
            if found := await cursor.fetchone():
                return found
    raise CommandError(
        f"There is no dead letter {letter_id}.", way_out="`florin dlq list --all` shows all of them."
    )


async def discard(settings: Settings, found: Letter) -> None:
    """Closes a dead letter without another try: its effect will never happen."""
    await _close(settings, found, "discarded")


async def replay(settings: Settings, found: Letter) -> None:
    """Sends the event once more; the inbox sees to it that nobody acts on it twice.

    It is sent before it is marked: a crash in between leaves it open, and another replay does no
    harm. If it fails again it comes back with one more attempt, and then it is not marked at all.

    Raises:
        CommandError: it cannot be sent.
    """
    owner = found.headers.get("ce-source", "").removesuffix("_svc")
    if not owner or not found.type:
        raise CommandError(
            f"{found.id} does not say whose event it is, so it cannot be sent again.",
            way_out=f"Look at `florin dlq show {found.id}`; `florin dlq discard {found.id}` closes it.",
        )
    token = found.type.replace(".", "_")
    headers = {
        **found.headers,
        # The broker would swallow a message id that it has seen.
        "Nats-Msg-Id": f"{found.event_id}#{uuid.uuid4().hex}",
        # The last attempt: another failure buries it again at once, since no outbox has it any more.
        "florin-attempt": str(max(found.attempts + 1, MAX_ATTEMPTS)),
    }
    subject = f"florin.{owner}.{token}.{shard_of(found.aggregate_id)}"
    try:
        client = await nats.connect(
            broker.url(settings), connect_timeout=_CONNECT_DEADLINE_S, allow_reconnect=False
        )
        try:
            stream = client.jetstream(timeout=_PUBLISH_DEADLINE_S)
            await stream.publish(subject, found.payload, headers=headers)
        finally:
            await client.close()
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise CommandError(
            f"NATS did not take {found.event_id}: {error!r}.", way_out="Look at `florin status`."
        ) from error
    await _close(settings, found, "replayed")


async def _close(settings: Settings, found: Letter, outcome: str) -> None:
    async with await _connect(settings, found.consumer) as connection:
        await connection.execute(
            "UPDATE dead_letters SET acknowledged_at = now(), outcome = %s WHERE id = %s AND attempts = %s",
            (outcome, found.id, found.attempts),
        )


async def _connect(
    settings: Settings, service: ServiceName, *, as_auditor: bool = False
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    database = databases.of(service)
    role = secrets.AUDITOR if as_auditor else database.role
    url = postgres.url(settings, secrets.load(settings), role=role, database=database.name)
    try:
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=_CONNECT_DEADLINE_S, application_name="florin"
        )
    except psycopg.OperationalError as error:
        raise control.not_running(settings) from error
