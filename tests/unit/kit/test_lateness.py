"""How late a consumer is: what counts is the most punctual of its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from florin.order.v1.order_events_pb2 import OrderFailed

from kit.messaging.events import Received
from kit.messaging.lateness import Lateness
from kit.values.trail import Trail

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class Consumer:
    """A consumer at whatever time a test wants."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.lateness = Lateness(lambda: self.now, seconds=lambda: self.seconds)

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def takes(self, *ages_s: float, attempt: int = 1) -> None:
        """Take a batch of events that happened so long ago."""
        times = [self.now - timedelta(seconds=age_s) for age_s in ages_s]
        self.lateness.took([Received("evt", OrderFailed(), Trail("cor"), time, attempt) for time in times])


def test_who_is_sent_nothing_is_not_late() -> None:
    assert Consumer().lateness.least_s() == 0.0


def test_one_punctual_event_shows_that_the_others_were_held_up_elsewhere() -> None:
    consumer = Consumer()
    consumer.takes(3.0, 0.2, 4.0)
    assert consumer.lateness.least_s() == pytest.approx(0.2)


def test_who_was_late_for_a_moment_has_caught_up() -> None:
    consumer = Consumer()
    consumer.takes(3.0)
    consumer.seconds = 0.4
    consumer.takes(0.1)
    assert consumer.lateness.least_s() == pytest.approx(0.1)


def test_what_was_seen_is_forgotten_after_a_second() -> None:
    consumer = Consumer()
    consumer.takes(0.1)
    consumer.seconds = 0.9
    consumer.takes(3.0)
    assert consumer.lateness.least_s() == pytest.approx(0.1)
    consumer.seconds = 1.1
    assert consumer.lateness.least_s() == pytest.approx(3.0)
    consumer.seconds = 2.0
    assert consumer.lateness.least_s() == 0.0


def test_what_is_sent_again_or_was_missed_for_long_says_nothing_about_now() -> None:
    consumer = Consumer()
    consumer.takes(6.0, attempt=2)
    consumer.takes(3_600.0)
    assert consumer.lateness.least_s() == 0.0


def test_a_sender_whose_clock_is_ahead_makes_nobody_early() -> None:
    consumer = Consumer()
    consumer.takes(-0.5)
    assert consumer.lateness.least_s() == 0.0
