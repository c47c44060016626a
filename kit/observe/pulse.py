"""Signs of life of the loops of a process: plain attributes that a loop writes and any thread may read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# Longer than any batch or turn takes on a busy machine. With a look every half second, and the pause between
# two turns of what asks the store each second, it is known within five seconds that something stands still.
STILL_S: Final = 3.0

# What has failed so often without a success in between will go on failing until a person looks.
_TROUBLE_AFTER: Final = 3


class Pulse:
    """What one loop has to have done by when.

    Args:
        within_s: how long it may take from one sign of life to the next.
        clock: seconds that only grow.
    """

    def __init__(self, *, within_s: float = STILL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._within_s = within_s
        self._clock = clock
        self._since: float | None = None
        self._waits_for = ""
        self._failures = 0
        self._error = ""

    def beat(self) -> None:
        """Note that it has moved, and that the next sign of life is due."""
        self._since = self._clock()
        self._waits_for = ""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Note that it has moved by failing, for a reason of its own."""
        failures = self._failures + 1
        self.beat()
        self._failures, self._error = failures, repr(error)

    def expect(self) -> None:
        """Note that there is something to do: a sign of life is due from now on, if none was."""
        if self._since is None:
            self.beat()

    def rest(self) -> None:
        """Note that there is nothing to do: until the next `beat` nothing is due, and nothing fails."""
        self._since = None
        self._failures = 0

    def waits_for(self, what: str) -> None:
        """Note why it does not move; that is no sign of life."""
        self._waits_for = what

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Expect that what is done here is done in time, and nothing afterwards."""
        self.beat()
        try:
            yield
        finally:
            self.rest()

    def problem(self) -> str:
        """Return why it has to be taken for stuck; nothing if it moves or rests."""
        since = self._since
        if since is None:
            return ""
        still_s = self._clock() - since
        if still_s <= self._within_s:
            return ""
        waits_for = self._waits_for
        return f"has not moved for {still_s:.1f} s" + (f", waits for {waits_for}" if waits_for else "")

    def trouble(self) -> str:
        """Return how it fails again and again while it moves; nothing if it does not."""
        return f"fails each time: {self._error}" if self._failures >= _TROUBLE_AFTER else ""
