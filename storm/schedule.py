"""What is done to the system, and when: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What a storm does to a system."""

    KILL = "kill"  # kill -9 for one replica of a service
    SCALE = "scale"  # one replica of a service more; the next time, back again
    RESTART = "restart"  # a rolling restart of everything
    ABSENT = "absent"  # one service stopped, all of its replicas, for a while


# Each needs its time: a restart of everything takes a minute, and who is absent is to be missed.
_SELDOMER: Final = {Fault.KILL: 1, Fault.SCALE: 3, Fault.RESTART: 24, Fault.ABSENT: 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fault.

    Attributes:
        at_s: when it strikes, in seconds from the start of the storm.
        process: whom it strikes; empty where it is everybody.
        pick: which of its replicas, as a share of those there are then, from 0 to less than 1.
    """

    at_s: float
    fault: Fault
    process: str = ""
    pick: float = 0.0

    def of(self, names: Sequence[str]) -> str:
        """Which of these it strikes."""
        return names[int(self.pick * len(names))]


def schedule(
    *,
    seed: int,
    from_s: float,
    to_s: float,
    every_s: float,
    faults: Sequence[Fault],
    processes: Sequence[str],
) -> list[Step]:
    """The steps of a storm, in the order of their time; the same for the same seed.

    Between `from_s` and `to_s` a kill comes every `every_s`, other faults as many times less often as they
    take longer; at least one of each, if there is time for it at all.
    """
    dice = random.Random(seed)  # noqa: S311 - a repeatable storm, not a secret
    steps = []
    for fault in sorted(set(faults)):
        period_s = every_s * _SELDOMER[fault]
        # Not all at once, although all are multiples of one pause.
        at_s = from_s + min(period_s, to_s - from_s) * dice.random()
        while at_s < to_s:
            whom = "" if fault is Fault.RESTART else dice.choice(list(processes))
            steps.append(Step(at_s=round(at_s, 2), fault=fault, process=whom, pick=dice.random()))
            at_s += period_s
    return sorted(steps, key=lambda step: step.at_s)
