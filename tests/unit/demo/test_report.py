"""What a person reads of a demo fits where they read it."""

from __future__ import annotations

import pytest

from demo import report
from demo.results import Checkout, ScenarioResult
from demo.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.slug)
def test_a_scenario_fits_the_narrowest_terminal(scenario: Scenario) -> None:
    as_promised = ScenarioResult(
        scenario,
        tuple(Checkout(end, 88.8) for end, times in scenario.promised.items() for _ in range(times)),
        scenario.orders,
        scenario.charges,
    )
    assert all(len(line.plain) <= 80 for line in report.scenario_lines(as_promised))
