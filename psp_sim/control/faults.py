"""The faults of a provider: the dice that decide which call meets one, and the count of those that did."""

import random
from collections import Counter
from enum import Enum, StrEnum

from psp_sim.control.config import SimConfig


class Fault(StrEnum):
    """A failure of the provider that one payment method asks for."""

    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR_THEN_OK = "error_then_ok"
    SLOW = "slow"
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    WEBHOOK_REORDERED = "webhook_reordered"
    WEBHOOK_NEVER = "webhook_never"
    WEBHOOK_FIRST = "webhook_first"


class Failure(Enum):
    """How a provider fails a call before it does anything."""

    OUTAGE = "it is down"
    RATE_LIMIT = "it is asked too often"
    ERROR = "it broke"


class Faults:
    """The provider's present misbehaviour. A count for each fault proves that it was met."""

    def __init__(self, seed: int | None = None) -> None:
        self.config = SimConfig()
        self.counts: Counter[str] = Counter()
        # Not for secrets: a seed has to bring the same faults again.
        self._dice = random.Random(seed)  # noqa: S311

    def failure(self) -> Failure | None:
        """Return the failure that meets this call before it can do anything, if one does."""
        config = self.config
        if config.outage:
            self.counts["outage"] += 1
            return Failure.OUTAGE
        if self.strikes("rate_limit", config.rate_limit_rate):
            return Failure.RATE_LIMIT
        if self.strikes("error", config.error_rate):
            return Failure.ERROR
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
