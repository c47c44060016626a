"""What a run of the benchmark does, as its options say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.carts import Mix
from bench.history import History
from bench.window import Window

# What the project promises on a two-core machine.
DEFAULT_RATE_PER_S: Final = 200.0
# A minute contains what comes seldom: a checkpoint, a vacuum, a sweeper's turn.
DEFAULT_DURATION_S: Final = 60.0
# Connections, statement plans and caches are warm after some seconds.
DEFAULT_WARMUP_S: Final = 10.0

# A small shop's two months: the tables no longer fit into Postgres' own memory.
DEFAULT_HISTORY_ORDERS: Final = 500_000

# Of a system that is offered too much, the first seconds fill its queues.
_OVERLOAD_WARMUP_S: Final = 5.0

# The first seconds of a probe build its queues up; the rest shows whether they go on growing.
_PROBE_WARMUP_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run: a steady window, perhaps a search, and what surrounds them."""

    mix: Mix
    rate_per_s: float = DEFAULT_RATE_PER_S
    duration_s: float = DEFAULT_DURATION_S
    warmup_s: float = DEFAULT_WARMUP_S
    search: bool = True
    probe_s: float = 15.0
    pgbench_s: float = 10.0
    # As many people as share a minute's checkouts in a busy shop.
    buyers: int = 200
    psp_latency_ms: int = 0
    trace_sample_ratio: float = 0.01
    # Of each service.
    replicas: int = 1
    # Whether to offer more than the best rate at the end.
    overload: bool = False
    # What the fresh system has behind it when the load begins.
    history: History | None = None

    @property
    def steady(self) -> Window:
        """The window whose numbers are the result."""
        return Window(rate_per_s=self.rate_per_s, warmup_s=self.warmup_s, measure_s=self.duration_s)

    def probe(self, rate_per_s: float) -> Window:
        """A window of the search."""
        return Window(rate_per_s=rate_per_s, warmup_s=_PROBE_WARMUP_S, measure_s=self.probe_s)

    def overload_window(self, rate_per_s: float) -> Window:
        """A window above the best rate."""
        return Window(rate_per_s=rate_per_s, warmup_s=_OVERLOAD_WARMUP_S, measure_s=self.probe_s)
