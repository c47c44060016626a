"""The moves of a reservation."""

from __future__ import annotations

from itertools import product

import pytest

from inventory_svc.domain.reservation import TRANSITIONS, Reservation, ReservationMissing, Status, of_order
from inventory_svc.domain.stock import ProductKey
from kit.values.errors import IllegalMove


def reservation(status: Status) -> Reservation:
    return Reservation("rsv_1", "ord_1", "mer_1", {ProductKey("mer_1", "mug"): 1}, status, version=4)


@pytest.mark.parametrize(
    ("origin", "target"), [(o, t) for o in Status for t in Status if t in TRANSITIONS[o]]
)
def test_an_allowed_move_raises_the_version_by_one(origin: Status, target: Status) -> None:
    moved = reservation(origin).move(target)
    assert (moved.status, moved.version) == (target, 5)


@pytest.mark.parametrize("status", Status)
def test_a_move_that_is_done_already_changes_nothing(status: Status) -> None:
    there = reservation(status)
    assert there.move(status) is there


@pytest.mark.parametrize(
    ("origin", "target"),
    [(o, t) for o, t in product(Status, Status) if o is not t and t not in TRANSITIONS[o]],
)
def test_an_illegal_move_names_both_states(origin: Status, target: Status) -> None:
    with pytest.raises(IllegalMove, match=f"{origin.value}.*{target.value}") as refusal:
        reservation(origin).move(target)
    assert refusal.value.metadata == {"status": origin.value, "target": target.value}


def test_what_is_sold_cannot_be_released() -> None:
    assert not TRANSITIONS[Status.SOLD]


def test_an_order_that_never_held_anything_is_named() -> None:
    with pytest.raises(ReservationMissing, match="ord_9"):
        of_order({}, "ord_9")
