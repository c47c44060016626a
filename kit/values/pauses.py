"""Pauses between tries, as values: a domain states them, an adapter hands them to its statements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """The first pause, the second, and so on; the last is repeated."""

    seconds: tuple[float, ...]

    @classmethod
    def doubling(cls, first_s: float, *, longest_s: float) -> Pauses:
        """Return pauses of which each is twice the one before, up to a longest one."""
        assert 0 < first_s <= longest_s
        seconds = [first_s]
        while seconds[-1] < longest_s:
            seconds.append(min(2 * seconds[-1], longest_s))
        return cls(tuple(seconds))

    def after(self, earlier: int) -> float:
        """Return the pause that follows so many earlier ones."""
        return self.seconds[min(earlier, len(self.seconds) - 1)]
