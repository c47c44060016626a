"""Pauses grow to a longest one, and stay there."""

from __future__ import annotations

from kit.messaging.outbox import RESEND_PAUSES
from kit.values.pauses import Pauses


def test_pauses_double_up_to_the_longest_which_is_repeated() -> None:
    pauses = Pauses.doubling(3, longest_s=20)
    assert [pauses.after(earlier) for earlier in range(6)] == [3, 6, 12, 20, 20, 20]


def test_a_longest_pause_that_is_met_is_there_once() -> None:
    assert Pauses.doubling(5, longest_s=20).seconds == (5, 10, 20)
    assert Pauses.doubling(5, longest_s=5).seconds == (5,)


def test_an_event_is_sent_again_after_5_10_20_40_then_every_60_seconds() -> None:
    assert RESEND_PAUSES.seconds == (5, 10, 20, 40, 60)
