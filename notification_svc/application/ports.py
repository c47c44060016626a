"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.values.clock import Clock
from kit.values.ids import NewId
from notification_svc.domain.delivery import Answer, Delivery, Move
from notification_svc.domain.message import Mail


class Requests(Protocol):
    """The deliveries, inside a step."""

    async def add(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Store deliveries and return those that are new: one per order, template and channel.

        A new one counts as claimed by this process for its first attempt.
        """


class Deliveries(Protocol):
    """The deliveries, outside of steps; each call is one statement."""

    async def claim_due(self, limit: int, *, but_not: Collection[str] = ()) -> list[Delivery]:
        """Return deliveries that are due and that nobody else has; they are the caller's for a while.

        Args:
            but_not: ids of deliveries that the caller is still at work on.
        """

    async def move(self, moves: Sequence[Move]) -> None:
        """Note what attempts have made of deliveries; ignores those that others have moved on."""

    async def of_order(self, order_id: str) -> list[Delivery]:
        """Return the deliveries of one order, oldest first."""


class Carrier(Protocol):
    """Takes messages away: a mail server or the mailbox folder."""

    async def carry(self, mails: Sequence[Mail]) -> list[Answer]:
        """Hand over messages and return one answer per message, in order; does not raise."""

    async def close(self) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an event handler is given.

    Attributes:
        send_after_commit: hands new deliveries to the sender of this process once the step is committed.
    """

    requests: Requests
    send_after_commit: Callable[[Sequence[Delivery]], None]
    new_id: NewId
    clock: Clock
