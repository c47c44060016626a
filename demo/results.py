"""What came of the demo, and whether it is what was promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from client import Order, TimelineStep
from demo.scenarios import Scenario
from proof import Proof


@dataclass(frozen=True, slots=True)
class Checkout:
    """One thing a buyer did: how it ended, and how long that took."""

    outcome: str
    took_s: float
    # None if there is none, as after a refusal.
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What came of one scenario."""

    scenario: Scenario
    checkouts: tuple[Checkout, ...]
    # By the edge's own list of the buyer's orders.
    orders: int
    # By the PSP's own list.
    charges: int

    @property
    def outcomes(self) -> Counter[str]:
        """How often each end was seen."""
        return Counter(checkout.outcome for checkout in self.checkouts)

    @property
    def slowest_s(self) -> float:
        """How long the last of them took."""
        return max((checkout.took_s for checkout in self.checkouts), default=0.0)

    def differences(self) -> list[str]:
        """What is not as promised, in words; nothing if all of it is."""
        promised = self.scenario.promised
        found = [
            f"{outcome}: {promised.get(outcome, 0)} promised, {self.outcomes[outcome]} seen"
            for outcome in sorted({*promised, *self.outcomes})
            if promised.get(outcome, 0) != self.outcomes[outcome]
        ]
        if self.orders != self.scenario.orders:
            found.append(f"orders: {self.scenario.orders} promised, {self.orders} seen")
        if self.charges != self.scenario.charges:
            found.append(f"charges: {self.scenario.charges} promised, {self.charges} seen")
        return found

    @property
    def ok(self) -> bool:
        """Whether all of it is as promised."""
        return not self.differences()


@dataclass(frozen=True, slots=True)
class Mails:
    """What the mailbox holds."""

    folder: str
    # Files by order.
    by_order: Mapping[str, tuple[str, ...]]
    # Orders that ended, each of which has to be told once.
    expected: frozenset[str]

    @property
    def ok(self) -> bool:
        """Whether each of them was told, once, and nobody else."""
        return {order: len(files) for order, files in self.by_order.items()} == dict.fromkeys(
            self.expected, 1
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The whole demo."""

    scenarios: tuple[ScenarioResult, ...]
    # An order whose way is shown, with all its steps.
    example: Order | None
    example_steps: tuple[TimelineStep, ...]
    mails: Mails
    proof: Proof
    # Until the system was healthy, and everything after that.
    start_s: float
    run_s: float

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return all(each.ok for each in self.scenarios) and self.mails.ok and self.proof.ok
