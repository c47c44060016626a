"""The search for the highest rate at which completion keeps up with acceptance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

# Nobody waits longer for "thank you for your order"; the project promises p99 below it.
COMPLETION_P99_LIMIT_MS: Final = 2_000.0

# A checkout that is not answered by then has not been accepted at the rate it was offered at.
# Measured from when it was due, so that a queue in the load generator counts, too.
ACCEPT_P99_LIMIT_MS: Final = 1_000.0

# More refusals than this, and the system has said itself that the rate is too high.
REFUSED_SHARE_LIMIT: Final = 0.001

# Open orders breathe with checkpoints and batches: half as many again as before is breathing if
# it is also no more than what comes in within a quarter of a second.
_OPEN_GROWTH_LIMIT: Final = 1.5
_OPEN_SLACK_S: Final = 0.25

# Below this the machine is busy with something else, and searching on says nothing.
_LOWEST_RATE_PER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a probe at one rate showed."""

    rate_per_s: float
    offered: int
    refused: int
    completed_per_s: float
    accept_p99_ms: float | None
    completion_p99_ms: float | None
    # Open orders, on average over the middle and over the last third of the probe.
    open_before: float
    open_at_end: float

    def objections(self) -> list[str]:
        """Why the system did not keep up at this rate; empty if it did."""
        found = []
        if self.refused > self.offered * REFUSED_SHARE_LIMIT:
            found.append(f"{self.refused} of {self.offered} refused")
        if self.accept_p99_ms is None or self.accept_p99_ms > ACCEPT_P99_LIMIT_MS:
            found.append(f"accept p99 {_ms(self.accept_p99_ms)}")
        if self.completion_p99_ms is None or self.completion_p99_ms > COMPLETION_P99_LIMIT_MS:
            found.append(f"completion p99 {_ms(self.completion_p99_ms)}")
        slack = self.rate_per_s * _OPEN_SLACK_S
        if self.open_at_end > self.open_before * _OPEN_GROWTH_LIMIT + slack:
            found.append(f"open orders grew from {self.open_before:.0f} to {self.open_at_end:.0f}")
        return found

    @property
    def keeps_up(self) -> bool:
        """Whether the system could go on like this for ever."""
        return not self.objections()


@dataclass(slots=True)
class Search:
    """Which rate to try next: up in steps until one is too high, then between it and the last good one.

    `start_per_s` is not known to be good: if it is too high, the search goes down instead.
    """

    start_per_s: float
    step: float = 0.15
    refinements: int = 1
    highest_good_per_s: float | None = None
    lowest_bad_per_s: float | None = None
    probes: list[Probe] = field(default_factory=list)
    _refined: int = 0

    def next_rate(self) -> float | None:
        """The rate of the next probe, or None when the search is over."""
        good, bad = self.highest_good_per_s, self.lowest_bad_per_s
        if good is None and bad is None:
            return self.start_per_s
        if bad is None:
            assert good is not None
            return _rounded(good * (1 + self.step))
        if good is None:
            lower = _rounded(bad / (1 + self.step))
            return lower if lower >= _LOWEST_RATE_PER_S else None
        if self._refined == self.refinements:
            return None
        return _rounded((good + bad) / 2)

    def record(self, probe: Probe) -> None:
        """Take note of the probe at the rate that `next_rate` gave."""
        if self.highest_good_per_s is not None and self.lowest_bad_per_s is not None:
            self._refined += 1
        self.probes.append(probe)
        if probe.keeps_up:
            self.highest_good_per_s = probe.rate_per_s
        else:
            self.lowest_bad_per_s = probe.rate_per_s

    @property
    def best(self) -> Probe | None:
        """The probe at the highest rate that the system kept up with."""
        good = [probe for probe in self.probes if probe.rate_per_s == self.highest_good_per_s]
        return good[-1] if good else None


def mean_open(
    placed_s: Sequence[float], ended_s: Sequence[float | None], *, start_s: float, end_s: float
) -> float:
    """How many orders were open on average between `start_s` and `end_s`, all on one clock."""
    inside = 0.0
    for placed, ended in zip(placed_s, ended_s, strict=True):
        until = end_s if ended is None else min(ended, end_s)
        inside += max(0.0, until - max(placed, start_s))
    return inside / (end_s - start_s)


def _rounded(rate_per_s: float) -> float:
    # A rate nobody can read aloud helps nobody.
    return float(round(rate_per_s)) if rate_per_s >= 10 else round(rate_per_s, 1)


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} ms"
