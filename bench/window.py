"""One stretch of load at a fixed rate, and which part of it counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`rate_per_s` checkouts offered from the first second to the last, of which only the later ones count.

    The load does not pause between warming up and measuring: what is measured is the middle of a
    busy day and not its morning.
    """

    rate_per_s: float
    warmup_s: float
    measure_s: float

    def __post_init__(self) -> None:
        if self.rate_per_s <= 0 or self.warmup_s < 0 or self.measure_s <= 0:
            raise ValueError(f"a window needs a rate and a length, not {self}")

    @property
    def length_s(self) -> float:
        """From the first checkout to the last."""
        return self.warmup_s + self.measure_s

    @property
    def checkouts(self) -> int:
        """How many checkouts are offered in all."""
        return max(1, round(self.rate_per_s * self.length_s))

    def due_s(self, number: int) -> float:
        """When the checkout `number` (from 0) is to be sent, in seconds from the start.

        Evenly spaced, whatever became of those before: an open loop. A client that waits for its
        answer before it sends again slows down with the system, and so hides what it measures.
        """
        return number / self.rate_per_s

    def counts(self, number: int) -> bool:
        """Whether the checkout `number` is due in the part that is measured."""
        return self.due_s(number) >= self.warmup_s
