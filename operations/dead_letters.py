"""Events that services gave up on: looked at as auditor, decided on as the service itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from kit.messaging.events import events_in
from operations.connection import Connection, connect
from roster import ROSTER
from runner.settings import Settings
from terminal.errors import CommandError

# Rows of one service that a terminal is shown; more than that is no longer read one by one.
_MAX_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that a service gave up on."""

    id: str
    # Whose database it is in.
    consumer: str
    event_id: str
    type: str
    aggregate: str
    payload: bytes
    headers: Mapping[str, str]
    error: str
    attempts: int
    created_at: datetime
    # `replayed`, `discarded` or, if nobody had to decide it, `handled`; None while it waits for a person.
    outcome: str | None

    def document(self) -> dict[str, Any]:
        """The letter as JSON has it; the payload in hexadecimal."""
        return {
            "id": self.id,
            "consumer": self.consumer,
            "event_id": self.event_id,
            "type": self.type,
            "aggregate": self.aggregate,
            "payload": self.payload.hex(),
            "headers": dict(self.headers),
            "error": self.error,
            "attempts": self.attempts,
            "create_time": self.created_at.isoformat(),
            "outcome": self.outcome,
        }


_LETTER_SQL: Final = (
    "SELECT id, consumer, event_id, type, aggregate, payload, headers, error, attempts,"
    " created_at, outcome FROM dead_letters"
)

# The time of the event is kept, because it is the time of its effect.
_PUT_BACK_SQL: Final = """
INSERT INTO outbox (event_id, type, aggregate, payload, correlation_id, traceparent, created_at)
VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s::timestamptz, now())) ON CONFLICT (event_id) DO NOTHING
"""
# Whoever settles the last consumer of an event locks it, too: it cannot go while it is owed to one more.
_LOCK_SQL: Final = "SELECT FROM outbox WHERE event_id = %s AND overdue_at IS NULL FOR UPDATE"
_OWE_SQL: Final = """
INSERT INTO resends (event_id, consumer, sends, next_send_at, owed_since)
VALUES (%s, %s, %s, now(), now()) ON CONFLICT (event_id, consumer) DO NOTHING
"""


async def find_all(settings: Settings, *, closed_too: bool = False) -> list[Letter]:
    """The dead letters of all services, those that wait for a person or all there ever were."""
    which = "" if closed_too else " WHERE acknowledged_at IS NULL"
    found: list[Letter] = []
    for service in ROSTER.packages:
        async with await connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Letter))
            await cursor.execute(f"{_LETTER_SQL}{which} ORDER BY id LIMIT %s", (_MAX_LETTERS,))
            found += await cursor.fetchall()
    return found


async def find(settings: Settings, letter_id: str) -> Letter:
    """One dead letter, whichever service has it.

    Raises:
        CommandError: none has.
    """
    for service in ROSTER.packages:
        async with await connect(settings, service, as_auditor=True) as connection:
            cursor = connection.cursor(row_factory=class_row(Letter))
            await cursor.execute(f"{_LETTER_SQL} WHERE id = %s", (letter_id,))
            if found := await cursor.fetchone():
                return found
    raise CommandError(
        f"There is no dead letter {letter_id}.", way_out="`florin dlq list --all` shows all of them."
    )


async def discard(settings: Settings, found: Letter) -> None:
    """Closes a dead letter without another try: its effect will never happen."""
    async with await connect(settings, found.consumer) as connection:
        await close(connection, found, "discarded")


async def replay(settings: Settings, found: Letter) -> str:
    """Gives the event back to the service that emitted it, and returns which one that is.

    Its outbox sends the event to this consumer until it has confirmed it, so nothing is lost whoever dies
    meanwhile; nobody else gets it again. That is safe at any age: the event of an open letter had no effect
    (`kit/messaging/dead_letters.py`). The letter is closed only once the event is committed there: a crash in
    between leaves it open. If the event keeps failing it is buried again, and the letter is open again.

    Raises:
        CommandError: it is no event of ours, or it is still being sent.
    """
    owner = _owner(found)
    async with await connect(settings, owner) as connection:
        is_new = await put_back(connection, found)
    if not is_new:
        raise CommandError(
            f"{owner} is still sending {found.event_id}: {found.consumer} has not confirmed it.",
            way_out="It comes again by itself; look at `florin outbox list`, then try again.",
        )
    async with await connect(settings, found.consumer) as connection:
        await close(connection, found, "replayed")
    return owner


async def put_back(connection: Connection, found: Letter) -> bool:
    """Inserts the event into the outbox of its service and returns whether its consumer is not sent it yet.

    What is there is left as it is: a confirmation of an earlier copy may be about to delete it.
    """
    async with connection.transaction():
        await connection.execute(
            _PUT_BACK_SQL,
            (
                found.event_id,
                found.type,
                found.aggregate,
                found.payload,
                found.headers.get("florin-correlation-id", ""),
                found.headers.get("traceparent", ""),
                _emitted_at(found),
            ),
        )
        if await (await connection.execute(_LOCK_SQL, (found.event_id,))).fetchone() is None:
            return False
        # Sends have numbers: they go on counting, since the broker swallows one that it has seen lately.
        owed = await connection.execute(_OWE_SQL, (found.event_id, found.consumer, found.attempts))
    return owed.rowcount == 1


async def close(connection: Connection, found: Letter, outcome: str) -> None:
    """Closes a letter, unless it was buried once more since it was looked at."""
    await connection.execute(
        "UPDATE dead_letters SET acknowledged_at = now(), outcome = %s WHERE id = %s AND attempts = %s",
        (outcome, found.id, found.attempts),
    )


def _owner(found: Letter) -> str:
    for context in ROSTER:
        if any(type_.name == found.type for type_ in events_in(context.event_protos)):
            return context.package
    raise CommandError(
        f"{found.id} holds no event of ours ({found.type!r}), so nobody can send it again.",
        way_out=f"Look at `florin dlq show {found.id}`; `florin dlq discard {found.id}` closes it.",
    )


def _emitted_at(found: Letter) -> datetime | None:
    try:
        return datetime.fromisoformat(found.headers.get("ce-time", ""))
    except ValueError:
        return None
