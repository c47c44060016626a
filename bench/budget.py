"""The CPU of one checkout beside what a bare prototype needed for it, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench import cpu

# Milliseconds of CPU per completed checkout of the throw-away prototype on two cores: the same
# parts, batched, without telemetry, authentication, validation, Redis and notification. Its
# receiver of webhooks (0.4) was a process of its own; ours is in the payment service (1.0).
_PROTOTYPE_MS: Final[Mapping[str, float]] = {
    "envoy": 0.4,
    "order_svc": 0.75,
    "inventory_svc": 0.5,
    "payment_svc": 1.4,
    "ledger_svc": 0.15,
    "psp_sim": 0.3,
    "nats": 0.3,
    "postgres": 0.55,
}


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One part of the system; None where the prototype had no such part."""

    part: str
    ms: float
    prototype_ms: float | None
    # The same in loops of `bench.machine`, by which machines can be compared; None if there is no measure.
    loops: float | None = None


def beside_prototype(
    cpu_ms_per_checkout: Mapping[str, float], *, loop_ms: float | None = None
) -> list[BudgetLine]:
    """The system's parts, the dearest first, with all replicas of a service together."""
    by_part: dict[str, float] = {}
    for process, ms in cpu_ms_per_checkout.items():
        if process not in cpu.NOT_THE_SYSTEM:
            part = process.partition("-")[0]
            by_part[part] = round(by_part.get(part, 0.0) + ms, 3)
    dearest_first = sorted(by_part.items(), key=lambda item: -item[1])
    return [
        BudgetLine(part, ms, _PROTOTYPE_MS.get(part), _in_loops(ms, loop_ms)) for part, ms in dearest_first
    ]


def total(lines: list[BudgetLine], *, loop_ms: float | None = None) -> BudgetLine:
    """The whole of both."""
    ms = sum(line.ms for line in lines)
    return BudgetLine("total", round(ms, 2), round(sum(_PROTOTYPE_MS.values()), 2), _in_loops(ms, loop_ms))


def _in_loops(ms: float, loop_ms: float | None) -> float | None:
    return round(ms / loop_ms, 3) if loop_ms else None
