"""What the demo promises, and that it would admit a promise that was not kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo import report
from demo.scenarios import SCENARIOS, THREE_D_SECURE, Act, Play, Scenario
from demo.shelf import ITEMS
from demo.story import Mails, Seen, Turn
from psp_sim.stripe.tokens import TOKENS

TWO_SOLD = Scenario(
    name="Two mugs", why="They are there.", times=2, promised={"COMPLETED": 2}, charges=2, orders=2
)


def seen(*outcomes: str, orders: int = 2, charges: int = 2) -> Seen:
    return Seen(TWO_SOLD, tuple(Turn(outcome, 0.1) for outcome in outcomes), orders, charges)


def test_a_promise_that_was_kept_has_no_differences() -> None:
    assert seen("COMPLETED", "COMPLETED").ok


@pytest.mark.parametrize(
    ("what_was_seen", "difference"),
    [
        (seen("COMPLETED"), "COMPLETED: 2 promised, 1 seen"),
        (seen("COMPLETED", "COMPLETED", "FAILED blocked"), "FAILED blocked: 0 promised, 1 seen"),
        (seen("COMPLETED", "COMPLETED", charges=3), "charges: 2 promised, 3 seen"),
        (seen("COMPLETED", "COMPLETED", orders=3), "orders: 2 promised, 3 seen"),
    ],
    ids=["one is missing", "one too many", "charged twice", "ordered twice"],
)
def test_a_promise_that_was_not_kept_is_named(what_was_seen: Seen, difference: str) -> None:
    assert what_was_seen.differences() == [difference]
    assert not what_was_seen.ok


@pytest.mark.parametrize(
    "by_order",
    [{}, {"ord_1": ("a", "b")}, {"ord_1": ("a",), "ord_2": ("b",)}],
    ids=["nobody is told", "told twice", "somebody else is told"],
)
def test_each_buyer_is_told_once_and_nobody_else(by_order: dict[str, tuple[str, ...]]) -> None:
    mails = Mails("mailbox", by_order, frozenset({"ord_1"}))
    assert not mails.ok
    assert replace(mails, by_order={"ord_1": ("a",)}).ok


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.slug)
def test_a_scenario_adds_up(scenario: Scenario) -> None:
    ended = sum(n for end, n in scenario.promised.items() if end.startswith(("COMPLETED", "FAILED")))
    assert ended == scenario.orders, "each order has one end"
    assert scenario.charges == scenario.promised.get("COMPLETED", 0), "who buys pays once, others never"
    assert scenario.payment_method_id in TOKENS
    for basket in scenario.baskets:
        assert basket.items.keys() <= set(ITEMS)
        assert {item.currency for item in basket.items} == {basket.currency}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.slug)
def test_a_scenario_fits_the_narrowest_terminal(scenario: Scenario) -> None:
    as_promised = Seen(
        scenario,
        tuple(Turn(end, 88.8) for end, times in scenario.promised.items() for _ in range(times)),
        scenario.orders,
        scenario.charges,
    )
    assert all(len(line.plain) <= 80 for line in report.scenario_lines(as_promised))


def test_every_kind_of_play_and_psp_is_shown() -> None:
    assert {scenario.play for scenario in SCENARIOS} == set(Play)
    assert {scenario.act for scenario in SCENARIOS} == set(Act)
    assert len({scenario.slug for scenario in SCENARIOS}) == len(SCENARIOS)
    assert THREE_D_SECURE in SCENARIOS
