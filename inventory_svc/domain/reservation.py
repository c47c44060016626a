"""What an order holds, and the moves it can make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Final

from inventory_svc.domain.stock import Lines
from kit.values.errors import IllegalMove

# Longer than a 3-D Secure challenge, shorter than a shopper's patience.
RESERVATION_TTL: Final = timedelta(minutes=15)


class State(Enum):
    """What became of the units of an order; the values are those of the table."""

    HELD = "HELD"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.HELD: frozenset({State.COMMITTED, State.RELEASED}),
    # Late money: the payment came after the units were given back. They are sold if they are still there.
    State.RELEASED: frozenset({State.COMMITTED}),
    # What is sold comes back by a return, not by a release.
    State.COMMITTED: frozenset(),
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
    state: State = State.HELD
    version: int = 1

    def move(self, target: State) -> Reservation:
        """Return the reservation after its move to `target`; itself if it is there already.

        Raises:
            IllegalMove: `TRANSITIONS` does not allow it.
        """
        if self.state is target:
            return self
        if target not in TRANSITIONS[self.state]:
            raise IllegalMove(
                "ILLEGAL_STATE",
                f"reservation {self.id} of order {self.order_id} is {self.state.value}"
                f" and cannot become {target.value}",
                metadata={"state": self.state.value, "target": target.value},
            )
        return replace(self, state=target, version=self.version + 1)


def of_order(reservations: Mapping[str, Reservation], order_id: str) -> Reservation:
    """Return the order's reservation; raises `ReservationMissing` if it has none."""
    reservation = reservations.get(order_id)
    if reservation is None:
        raise ReservationMissing(f"order {order_id!r} never held any stock")
    return reservation
