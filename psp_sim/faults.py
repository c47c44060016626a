"""The dice that decide which call meets a fault, and the count of those that did."""

import random
from collections import Counter

from psp_sim.config import SimConfig
from psp_sim.errors import ApiError, internal_error, outage, rate_limited


class Faults:
    """The provider's present misbehaviour. A count for each fault proves that it was met."""

    def __init__(self, seed: int | None = None) -> None:
        self.config = SimConfig()
        self.counts: Counter[str] = Counter()
        # Not for secrets: a seed has to bring the same faults again.
        self._dice = random.Random(seed)  # noqa: S311

    def refusal(self) -> ApiError | None:
        """Return the failure that meets this call before it can do anything, if one does."""
        config = self.config
        if config.outage:
            self.counts["outage"] += 1
            return outage()
        if self.strikes("rate_limit", config.rate_limit_rate):
            return rate_limited()
        if self.strikes("error", config.error_rate):
            return internal_error()
        return None

    def latency_s(self) -> float:
        """Return how long this call waits before it is executed."""
        config = self.config
        if not (config.latency_ms or config.latency_jitter_ms):
            return 0.0
        self.counts["latency"] += 1
        return (config.latency_ms + self._dice.uniform(0, config.latency_jitter_ms)) / 1000

    def strikes(self, name: str, rate: float) -> bool:
        """Roll the dice for a fault of a given rate, and count it if it strikes."""
        if rate <= 0.0 or self._dice.random() >= rate:
            return False
        self.counts[name] += 1
        return True

    def uniform_s(self, longest_s: float) -> float:
        """Return a random while, up to the longest."""
        return self._dice.uniform(0, longest_s)
