"""When a payment is looked up, in seconds."""

from __future__ import annotations

import pytest

from payment_svc.application.lookup.look_up_payments import LEASE_S
from payment_svc.domain import schedule
from payment_svc.domain.attempt import MAX_ATTEMPTS, State
from payment_svc.domain.payment import Status
from tests.unit.payment_svc.payments import payment

DECIDED = sorted(
    set(Status) - {Status.UNKNOWN, Status.PROCESSING, Status.REQUIRES_ACTION}, key=lambda status: status.value
)


def test_without_an_answer_it_is_looked_up_at_once_then_ever_more_seldom() -> None:
    pauses = [schedule.next_look_up_s(payment(status=Status.UNKNOWN, look_ups=n)) for n in range(10)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.REQUIRES_ACTION])
@pytest.mark.parametrize("look_ups", [0, 9])
def test_while_it_waits_for_its_buyer_it_is_looked_up_every_minute(status: Status, look_ups: int) -> None:
    assert schedule.next_look_up_s(payment(status=status, look_ups=look_ups)) == 60


@pytest.mark.parametrize("status", DECIDED)
def test_once_decided_it_is_not_looked_up(status: Status) -> None:
    assert schedule.next_look_up_s(payment(status=status)) is None


def test_what_is_to_be_closed_is_closed_at_once_then_ever_more_seldom() -> None:
    pauses = [schedule.next_look_up_s(payment(state=State.CLOSING, look_ups=n)) for n in range(10)]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_psp_that_breaks_has_twenty_minutes_to_mend_itself() -> None:
    pauses = [schedule.next_look_up_s(payment(state=State.SPENT, number=n + 1)) for n in range(MAX_ATTEMPTS)]
    assert pauses == [0.25, 5, 30, 120, 300, 300, 300, 300]


def test_the_first_look_up_waits_for_the_answer_and_later_ones_for_each_other() -> None:
    assert schedule.FIRST_LOOK_UP_S == 8
    assert schedule.BETWEEN_LOOK_UPS.seconds == (1, 2, 4, 8, 16, 32, 60)
    assert LEASE_S == 15, "what takes longer than the pause is not begun a second time"
