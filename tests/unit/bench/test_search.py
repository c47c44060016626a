"""The search ends at the highest rate that the system can go on with for ever."""

from __future__ import annotations

from typing import Any

import pytest

from bench.search import Probe, Search, mean_open


def _probe(rate_per_s: float = 100, **seen: Any) -> Probe:
    calm: dict[str, Any] = {
        "offered": 1_500,
        "refused": 0,
        "completed_per_s": rate_per_s,
        "accept_p99_ms": 40.0,
        "completion_p99_ms": 400.0,
        "open_before": 20.0,
        "open_at_end": 21.0,
    }
    return Probe(rate_per_s=rate_per_s, **(calm | seen))


def _found(search: Search, *, limit_per_s: float) -> tuple[list[float], float | None]:
    """The rates that are tried on a system which keeps up with `limit_per_s`, and the result."""
    tried = []
    while (rate_per_s := search.next_rate()) is not None:
        tried.append(rate_per_s)
        overloaded = {} if rate_per_s <= limit_per_s else {"completion_p99_ms": 5_000.0}
        search.record(_probe(rate_per_s, **overloaded))
    return tried, search.highest_good_per_s


def test_a_calm_probe_keeps_up() -> None:
    assert _probe().keeps_up


@pytest.mark.parametrize(
    ("seen", "objection"),
    [
        ({"refused": 2}, "2 of 1500 refused"),
        ({"accept_p99_ms": 1_200.0}, "accept p99 1,200 ms"),
        ({"completion_p99_ms": 2_001.0}, "completion p99 2,001 ms"),
        ({"completion_p99_ms": None}, "completion p99 unknown"),
        ({"open_before": 100.0, "open_at_end": 200.0}, "open orders grew from 100 to 200"),
    ],
)
def test_a_system_that_falls_behind_does_not_keep_up(seen: dict[str, Any], objection: str) -> None:
    assert _probe(**seen).objections() == [objection]


def test_a_single_refusal_in_a_thousand_is_not_an_overload() -> None:
    assert _probe(refused=1).keeps_up


def test_the_search_goes_up_in_steps_and_then_halves_the_gap() -> None:
    tried, found = _found(Search(200, step=0.15, refinements=1), limit_per_s=300)

    assert tried == [200, 230, 264, 304, 284]
    assert found == 284


def test_the_search_goes_down_when_the_start_is_too_high() -> None:
    tried, found = _found(Search(200, step=0.15, refinements=1), limit_per_s=160)

    assert tried == [200, 174, 151, 162]
    assert found == 151


def test_the_search_gives_up_on_a_system_that_does_nothing() -> None:
    tried, found = _found(Search(10), limit_per_s=0)

    assert min(tried) >= 5
    assert found is None


def test_the_best_probe_is_the_one_at_the_highest_good_rate() -> None:
    search = Search(100)
    _found(search, limit_per_s=140)

    assert search.best is not None
    assert search.best.rate_per_s == search.highest_good_per_s


def test_open_orders_are_counted_by_the_time_they_were_open() -> None:
    placed_s = [0.0, 0.5, 1.5, 3.0]
    ended_s = [1.0, None, 2.5, 4.0]

    # One of 0.5 s before it ended, one all along, one from 1.5 on; the last one came later.
    assert mean_open(placed_s, ended_s, start_s=0.5, end_s=2.0) == pytest.approx((0.5 + 1.5 + 0.5) / 1.5)
