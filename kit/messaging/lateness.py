"""How late a consumer is with what it is sent: whether the service keeps up with what has been promised."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from kit.messaging.events import Received
from kit.values.clock import Clock

# Whoever was late once, for a moment, has caught up; whoever was late in all of this time has too much to do.
_WINDOW_S: Final = 1.0

# What is older was not held up by us just now: its sender or we were away, or it was lost and is sent again.
_OLD_S: Final = 10.0


class Lateness:
    """For how long events have been on their way when they are handled, at the least.

    The least, because copies and old events are late whatever the load. Clocks of two machines are compared:
    this is for limits of half a second and more.

    Args:
        clock: by which senders say when an event happened.
        seconds: a clock that only grows.
    """

    def __init__(self, clock: Clock, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        # (when, how late): the least of each batch of the window.
        self._seen: deque[tuple[float, float]] = deque()

    def took(self, events: Iterable[Received[Any]]) -> None:
        """Note the events of a batch that is about to be handled."""
        now = self._clock()
        ages = [_age_s(event.time, now) for event in events if event.attempt == 1]
        if ages and (least := min(ages)) < _OLD_S:
            self._seen.append((self._seconds(), least))

    def least_s(self) -> float:
        """Return how late the most punctual event of the last second was; 0 if there was none."""
        forgotten = self._seconds() - _WINDOW_S
        while self._seen and self._seen[0][0] < forgotten:
            self._seen.popleft()
        return min((late_s for _, late_s in self._seen), default=0.0)


def _age_s(time: datetime, now: datetime) -> float:
    return max(0.0, (now - time).total_seconds())
