"""Offering more than the best rate, and what is made of the answers."""

from __future__ import annotations

import pytest

from bench import overload, run
from bench.carts import Mix
from bench.load import reason_of
from bench.measure import Measured
from bench.plan import Plan
from bench.window import Window
from tests.unit.bench.test_report import _all, _measured

BODY = (
    b'{"code":14,"message":"m","details":[{"@type":"t/RetryInfo"},{"@type":"t/ErrorInfo","reason":"BUSY"}]}'
)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, BODY, "503 BUSY"),
        (503, b"no healthy upstream", "503"),
        (504, b'{"details": null}', "504"),
        (429, b"[]", "429"),
        (0, b"", "no answer"),
    ],
)
def test_a_refusal_is_counted_under_its_own_word(status: int, body: bytes, reason: str) -> None:
    assert reason_of(status, body) == reason


def test_the_rates_are_one_and_a_half_two_and_three_times_the_best() -> None:
    assert overload.rates(200.0) == [(1.5, 300.0), (2.0, 400.0), (3.0, 600.0)]


class _Silent:
    def phase(self, title: str, expected_s: float | None = None) -> None: ...

    def detail(self, text: str) -> None: ...

    def finding(self, text: str) -> None: ...


@pytest.mark.parametrize("wanted", [True, False])
def test_the_overload_begins_at_the_rate_that_was_kept_up_with(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    offered: list[float] = []
    between: list[int] = []

    def measure(system: object, orders: object, window: Window, **_: object) -> Measured:
        offered.append(window.rate_per_s)
        return _measured(_all())

    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(run, "assign", lambda _, window, **__: window)
    monkeypatch.setattr("bench.shop.buyers", lambda *_: ["token"])
    plan = Plan(mix=Mix(products=1), rate_per_s=2, search=False, overload=wanted)
    loaded = run._load(None, None, plan, _Silent(), between=lambda: between.append(1))  # type: ignore[arg-type]

    assert offered == ([2, 3, 4, 6] if wanted else [2])
    assert [each.times for each in loaded.overloads] == ([1.5, 2.0, 3.0] if wanted else [])
    assert len(between) == wanted, "the machine is looked at once more before the second load"
