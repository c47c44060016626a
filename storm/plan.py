"""What a storm does, as its options say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.carts import Mix
from bench.window import Window
from storm.schedule import Fault, Step, schedule

# Some seconds to be in full swing before the first fault, and to see what becomes of the last.
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One storm.

    Attributes:
        seed: all dice are thrown by it.
        storm_s: from the first second in which a fault may strike to the last.
        every_s: from one kill to the next; other faults are rarer.
        replicas: of each service.
    """

    seed: int
    storm_s: float
    every_s: float
    rate_per_s: float
    replicas: int
    faults: tuple[Fault, ...]
    mix: Mix
    buyers: int = 200

    @property
    def window(self) -> Window:
        """The load: before, during and after the faults, all of which counts."""
        return Window(rate_per_s=self.rate_per_s, warmup_s=0.0, measure_s=_BEFORE_S + self.storm_s + _AFTER_S)

    def steps(self, processes: list[str]) -> list[Step]:
        """What happens to these processes, and when."""
        return schedule(
            seed=self.seed,
            from_s=_BEFORE_S,
            to_s=_BEFORE_S + self.storm_s,
            every_s=self.every_s,
            faults=self.faults,
            processes=processes,
        )
