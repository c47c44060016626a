"""The demo would admit a promise that was not kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.results import Checkout, Mails, ScenarioResult
from demo.scenarios import Scenario

TWO_SOLD = Scenario(
    name="Two mugs", why="They are there.", times=2, promised={"COMPLETED": 2}, charges=2, orders=2
)


def seen(*outcomes: str, orders: int = 2, charges: int = 2) -> ScenarioResult:
    return ScenarioResult(TWO_SOLD, tuple(Checkout(outcome, 0.1) for outcome in outcomes), orders, charges)


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
def test_a_promise_that_was_not_kept_is_named(what_was_seen: ScenarioResult, difference: str) -> None:
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
