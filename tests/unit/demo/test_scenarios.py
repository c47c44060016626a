"""What the demo promises adds up, and leaves nothing out."""

from __future__ import annotations

import pytest

from demo.products import ITEMS
from demo.scenarios import SCENARIOS, THREE_D_SECURE, Action, PspState, Scenario
from psp_sim.stripe.tokens import TOKENS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.slug)
def test_a_scenario_adds_up(scenario: Scenario) -> None:
    ended = sum(n for end, n in scenario.promised.items() if end.startswith(("COMPLETED", "FAILED")))
    assert ended == scenario.orders, "each order has one end"
    assert scenario.charges == scenario.promised.get("COMPLETED", 0), "who buys pays once, others never"
    assert scenario.payment_method_id in TOKENS
    for basket in scenario.baskets:
        assert basket.items.keys() <= set(ITEMS)
        assert {item.currency for item in basket.items} == {basket.currency}


def test_every_kind_of_action_and_psp_is_shown() -> None:
    assert {scenario.action for scenario in SCENARIOS} == set(Action)
    assert {scenario.psp for scenario in SCENARIOS} == set(PspState)
    assert len({scenario.slug for scenario in SCENARIOS}) == len(SCENARIOS)
    assert THREE_D_SECURE in SCENARIOS
