"""A service whose only effect is a row, so that effects can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging.events import Aggregate, NewEvent, Received
from kit.messaging.pump import Subscriptions
from kit.messaging.step import Step
from kit.runtime.context import Runtime

SAMPLE: Final = "tests.support.sample_svc"

# Who has to confirm what it emits, whoever else acts on it in Florin.
CONSUMERS: Final = {
    "order.completed": frozenset({"notification_svc"}),
    "order.failed": frozenset({"notification_svc"}),
    "stock.reserved": frozenset({"payment_svc", "order_svc"}),
}

# Its effect breaks a CHECK of the table.
POISONED: Final = "ord_poisoned"


async def record_effects(step: Step, completed: Sequence[Received[OrderCompleted]]) -> list[NewEvent]:
    """Write a row for each order, all in one statement, and say of each that it failed."""
    await step.connection.execute(
        "INSERT INTO effects (order_id, times) SELECT id, CASE WHEN id = %s THEN 0 ELSE 1 END"
        " FROM unnest(%s::text[]) AS id",
        (POISONED, [event.message.order_id for event in completed]),
    )
    return [
        NewEvent(OrderFailed(order_id=id_), Aggregate("order", id_), trail)
        for id_, trail in [(event.message.order_id, event.trail) for event in completed]
    ]


SUBSCRIPTIONS: Final[Subscriptions[Step]] = {OrderCompleted: record_effects}


def itself(step: Step) -> Step:
    """Return the step: the sample's handlers need no more of a scope."""
    return step


async def effects(runtime: Runtime) -> list[str]:
    """Return the orders that had an effect, once for each time they had it."""
    return [str(row[0]) for row in await rows(runtime, "SELECT order_id FROM effects ORDER BY order_id")]


async def rows(runtime: Runtime, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    async with runtime.database.connection() as connection:
        return list(await (await connection.execute(query)).fetchall())


async def execute(runtime: Runtime, statement: str) -> None:
    """Run a statement on the database, as a test that shortens time does."""
    async with runtime.database.connection() as connection:
        await connection.execute(statement)
