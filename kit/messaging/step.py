"""One local transaction per step: effect, inbox and outbox commit together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import count
from typing import Any, Final, TypeVar

from kit.messaging.envelope import Envelope
from kit.messaging.events import NewEvent
from kit.messaging.outbox import Outbox
from kit.store.database import Connection, Database

T = TypeVar("T")

# What has begun gets this long at shutdown; more means that the store is away, and then nothing is lost.
GRACE_S: Final = 5.0


class Step:
    """A step that is under way: its connection, the events it emits, and what follows its commit.

    Attributes:
        attempt: 1 for the first run. A body that lost a race may be more careful the second time.
    """

    def __init__(self, connection: Connection, attempt: int = 1) -> None:
        self.connection = connection
        self.attempt = attempt
        self.events: list[NewEvent] = []
        self.hooks: list[Callable[[], None]] = []

    def emit(self, events: Iterable[NewEvent]) -> None:
        """Add events to the outbox rows of this step."""
        self.events.extend(events)

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run `hook` once the step is committed; it is dropped if the step is not.

        For handing work to something in this process. What must not be lost belongs in a row.
        """
        self.hooks.append(hook)


async def to_the_end(work: Coroutine[Any, Any, None], *, grace_s: float = GRACE_S) -> None:
    """Run `work` to its end even if the caller is cancelled meanwhile, for `grace_s` at most."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        _, unfinished = await asyncio.wait([task], timeout=grace_s)
        for each in unfinished:
            each.cancel()
        raise


class Steps:
    """Takes steps: opens the transaction, stores the outbox rows, commits, publishes.

    Attributes:
        database: that the steps are taken in.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self.database = database
        self._outbox = outbox

    async def take(self, body: Callable[[Step], Awaitable[T]]) -> T:
        """Run `body` as one step and return its result.

        `body` may run more than once (see `Database.transact`); events and hooks of a run that was rolled
        back are gone with it. No network call belongs in it.
        """

        attempts = count(1)

        async def run(connection: Connection) -> tuple[T, Step, list[Envelope]]:
            step = Step(connection, next(attempts))
            result = await body(step)
            envelopes = await self._outbox.store(connection, step.events) if step.events else []
            return result, step, envelopes

        result, step, envelopes = await self.database.transact(run)
        await self._outbox.publish(envelopes)
        for hook in step.hooks:
            hook()
        return result
