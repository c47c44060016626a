"""Latencies in the three numbers that people compare."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The median, the tail and the longest of some latencies in milliseconds; all None if there were none."""

    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None

    @classmethod
    def of(cls, latencies_ms: Iterable[float]) -> Self:
        """The percentiles by nearest rank, so that each is a latency that somebody really had."""
        ordered = sorted(latencies_ms)
        return cls(*(_nearest_rank(ordered, percent) for percent in (50, 95, 99, 100)))


def _nearest_rank(ordered: list[float], percent: int) -> float | None:
    if not ordered:
        return None
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1], 2)
