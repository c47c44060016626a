"""The moves of a reservation."""

from __future__ import annotations

from itertools import product

import pytest

from inventory_svc.domain.reservation import TRANSITIONS, Reservation, ReservationMissing, State, of_order
from inventory_svc.domain.stock import ProductKey
from kit.values.errors import IllegalMove


def reservation(state: State) -> Reservation:
    return Reservation("rsv_1", "ord_1", "mer_1", {ProductKey("mer_1", "mug"): 1}, state, version=4)


@pytest.mark.parametrize(("origin", "target"), [(o, t) for o in State for t in State if t in TRANSITIONS[o]])
def test_an_allowed_move_raises_the_version_by_one(origin: State, target: State) -> None:
    moved = reservation(origin).move(target)
    assert (moved.state, moved.version) == (target, 5)


@pytest.mark.parametrize("state", State)
def test_a_move_that_is_done_already_changes_nothing(state: State) -> None:
    there = reservation(state)
    assert there.move(state) is there


@pytest.mark.parametrize(
    ("origin", "target"),
    [(o, t) for o, t in product(State, State) if o is not t and t not in TRANSITIONS[o]],
)
def test_an_illegal_move_names_both_states(origin: State, target: State) -> None:
    with pytest.raises(IllegalMove, match=f"{origin.value}.*{target.value}") as refusal:
        reservation(origin).move(target)
    assert refusal.value.metadata == {"state": origin.value, "target": target.value}


def test_what_is_sold_cannot_be_released() -> None:
    assert not TRANSITIONS[State.COMMITTED]


def test_an_order_that_never_held_anything_is_named() -> None:
    with pytest.raises(ReservationMissing, match="ord_9"):
        of_order({}, "ord_9")
