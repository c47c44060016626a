"""What becomes of a system that is offered more than it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.measure import Measured
from bench.percentiles import Percentiles

# A sale that nobody planned for, its peak, and what a retry storm makes of it.
TIMES: Final = (1.5, 2.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One window above the best rate.

    Attributes:
        times: how many times that rate was offered.
        goodput_share: completed a second, as a share of what the best rate completed.
        accept_ms: of what was answered 202, from when it was due.
        refusal_ms: of every other answer, likewise.
        reasons: of the refusals, by their number.
    """

    times: float
    offered_per_s: float
    completed_per_s: float
    goodput_share: float
    accepted: int
    refused: int
    accept_ms: Percentiles
    completion_ms: Percentiles
    refusal_ms: Percentiles
    reasons: dict[str, int]
    drain_s: float
    # By process, for each completed checkout: what refusing costs is in it.
    cpu_ms_per_checkout: dict[str, float]

    @classmethod
    def of(cls, times: float, measured: Measured, *, best_completed_per_s: float) -> Overload:
        """What a window showed that was offered `times` the best rate."""
        refused = sum(measured.refused.values())
        return cls(
            times=times,
            offered_per_s=measured.window.rate_per_s,
            completed_per_s=measured.completed_per_s,
            goodput_share=round(measured.completed_per_s / best_completed_per_s, 3),
            accepted=measured.offered - refused,
            refused=refused,
            accept_ms=measured.accept_ms,
            completion_ms=measured.completion_ms,
            refusal_ms=measured.refusal_ms,
            reasons=measured.reasons,
            drain_s=measured.drain_s,
            cpu_ms_per_checkout=measured.cpu_ms_per_checkout,
        )


def rates(best_per_s: float, times: Sequence[float] = TIMES) -> list[tuple[float, float]]:
    """Each multiple with the rate it means."""
    return [(each, round(best_per_s * each, 1)) for each in times]
