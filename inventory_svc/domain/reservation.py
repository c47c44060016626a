"""What an order holds, and the moves it can make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Final

from inventory_svc.domain.stock import Lines
from kit.values.errors import IllegalMove
from kit.values.reasons import ILLEGAL_STATE

# Longer than a 3-D Secure challenge, shorter than a shopper's patience.
RESERVATION_TTL: Final = timedelta(minutes=15)


class Status(Enum):
    """What became of the units of an order; the values are those of the table."""

    HELD = "HELD"
    SOLD = "SOLD"
    RELEASED = "RELEASED"


TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.HELD: frozenset({Status.SOLD, Status.RELEASED}),
    # Late money: the payment came after the units were given back. They are sold if they are still there.
    Status.RELEASED: frozenset({Status.SOLD}),
    # What is sold comes back by a return, not by a release.
    Status.SOLD: frozenset(),
}


class ReservationMissing(Exception):
    """A payment's outcome for an order that never held anything: somebody emits events out of order."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The units of one order.

    Attributes:
        version: 1 at first, up by one with every move.
    """

    id: str
    order_id: str
    merchant_id: str
    lines: Lines
    status: Status = Status.HELD
    version: int = 1

    def move(self, target: Status) -> Reservation:
        """Return the reservation after its move to `target`; itself if it is there already.

        Raises:
            IllegalMove: `TRANSITIONS` does not allow it.
        """
        if self.status is target:
            return self
        if target not in TRANSITIONS[self.status]:
            raise IllegalMove(
                ILLEGAL_STATE,
                f"reservation {self.id} of order {self.order_id} is {self.status.value}"
                f" and cannot become {target.value}",
                metadata={"status": self.status.value, "target": target.value},
            )
        return replace(self, status=target, version=self.version + 1)


def of_order(reservations: Mapping[str, Reservation], order_id: str) -> Reservation:
    """Return the order's reservation; raises `ReservationMissing` if it has none."""
    reservation = reservations.get(order_id)
    if reservation is None:
        raise ReservationMissing(f"order {order_id!r} never held any stock")
    return reservation
