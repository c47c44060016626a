"""Events that a consumer was owed for a week: a person has them sent again, and none has its effect twice.

Sent again, an event is young for its outbox and old for the inbox, which may have dropped what it knew of it.
So the inbox is asked before. What its consumer has acted on is not sent. What it has not acted on by now it
knows for long enough once it has. What it may have forgotten is left to the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kit.messaging import inbox
from kit.messaging.outbox import CHUNK, owe_no_more
from kit.store.database import Connection

_PARKED_SQL: Final = """
SELECT event_id FROM resends WHERE consumer = %s AND parked_at IS NOT NULL AND event_id > %s
ORDER BY event_id LIMIT %s
"""

_UNPARK_SQL: Final = """
UPDATE resends SET parked_at = NULL, owed_since = now(), next_send_at = now()
WHERE parked_at IS NOT NULL AND consumer = %s AND event_id = ANY(%s)
"""


@dataclass(slots=True)
class Unparked:
    """What became of the events that were parked for a consumer, in numbers.

    Attributes:
        sent: again, for a week more.
        done: the consumer had acted on them, and is owed them no more.
        forgotten: stay parked, because its inbox does not go back so far.
    """

    sent: int = 0
    done: int = 0
    forgotten: int = 0


async def unpark(
    sender: Connection, receiver: Connection, consumer: str, *, forgotten_too: bool = False
) -> Unparked:
    """Have what is parked for a consumer sent again, and return what became of it.

    Args:
        sender: to the database whose outbox it is.
        receiver: to that of the consumer.
        forgotten_too: what the consumer may have acted on, and has forgotten, is sent as well.
    """
    told = Unparked()
    last = ""
    while True:
        cursor = await sender.execute(_PARKED_SQL, (consumer, last, CHUNK))
        parked = [row[0] for row in await cursor.fetchall()]
        known = await inbox.recall(receiver, consumer, parked)
        done = [event_id for event_id, is_done in known.items() if is_done]
        wanted = [event_id for event_id in parked if not known.get(event_id, not forgotten_too)]
        async with sender.transaction():
            await owe_no_more(sender, done, [consumer] * len(done))
        told.sent += (await sender.execute(_UNPARK_SQL, (consumer, wanted))).rowcount
        told.done += len(done)
        told.forgotten += len(parked) - len(done) - len(wanted)
        if len(parked) < CHUNK:
            return told
        last = parked[-1]
