"""What the order database says about the orders that were promised with a 202."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from order_svc.proof import COURSES, ENDED_AMONG
from proof.audit import ORDERS
from runner.access.audit import audit_of
from runner.settings import Settings

COMPLETED: Final = "COMPLETED"

# Asking costs the system something; it has just been under load and is to finish.
_LOOK_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the database has it, in seconds of the database's clock."""

    id: str
    status: str
    reason: str
    created_s: float
    # None while it is open.
    ended_s: float | None

    @property
    def completion_ms(self) -> float | None:
        """From acceptance to the end, by database time."""
        return None if self.ended_s is None else (self.ended_s - self.created_s) * 1000


class OrderDatabase:
    """The order service's database, read as the auditor, who changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            audit_of(settings).database_url(ORDERS), autocommit=True, application_name="florin bench"
        )

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def clock_offset_s(self) -> float:
        """What to add to the machine's monotonic clock to get the database's time."""
        before_s = time.monotonic()
        row = self._connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        assert row is not None
        return float(row[0]) - (before_s + time.monotonic()) / 2

    def wait_until_ended(
        self, order_ids: Iterable[str], *, deadline_s: float, on_look: Callable[[int], None] = lambda _: None
    ) -> list[str]:
        """Waits for these orders to end; returns those that had not by the deadline."""
        deadline = time.monotonic() + deadline_s
        left = list(order_ids)
        while True:
            ended = {row[0] for row in self._connection.execute(ENDED_AMONG, {"ids": left})}
            left = [order_id for order_id in left if order_id not in ended]
            on_look(len(left))
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(_LOOK_AGAIN_S)

    def find(self, order_ids: Sequence[str]) -> dict[str, Order]:
        """The orders with these ids; one that is not there is missing from the answer."""
        rows = self._connection.execute(COURSES, {"ids": list(order_ids)})
        return {row[0]: Order(*row) for row in rows}
