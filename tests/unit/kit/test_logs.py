"""What goes well is told of some checkouts, and of these in every log."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from kit.observe import logs
from kit.observe.logs import is_followed
from kit.rpc.call import Call
from kit.rpc.pipeline import _recorded
from kit.values.ids import new_id
from kit.values.trail import Trail

TRACED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_TRACED = TRACED[:-1] + "0"


def _follow(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    monkeypatch.setattr(logs, "_followed_parts", round(ratio * 2**32))


def test_about_the_wanted_share_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    _follow(monkeypatch, 0.25)
    followed = sum(is_followed(Trail(f"cor_{number}")) for number in range(4_000))
    assert 800 < followed < 1_200


def test_all_or_nothing_is_followed_if_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    trails = [Trail(new_id("cor")) for _ in range(100)]
    _follow(monkeypatch, 1.0)
    assert all(map(is_followed, trails))
    _follow(monkeypatch, 0.0)
    assert not any(map(is_followed, trails))


def test_what_is_traced_is_always_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    _follow(monkeypatch, 0.0)
    assert is_followed(Trail("cor_1", TRACED))
    assert not is_followed(Trail("cor_1", NOT_TRACED))


@pytest.mark.parametrize(
    ("outcome", "traceparent", "lines"),
    [("OK", "", 0), ("OK", TRACED, 1), ("OUT_OF_STOCK", "", 1), ("INTERNAL", "", 1), ("CANCELLED", "", 1)],
)
def test_only_calls_that_went_well_and_are_not_followed_have_no_line(
    monkeypatch: pytest.MonkeyPatch, outcome: str, traceparent: str, lines: int
) -> None:
    _follow(monkeypatch, 0.0)
    call = Call("/florin.order.v1.OrderService/GetOrder", {}, Trail("cor_1", traceparent), caller=None)
    with capture_logs() as written, _recorded(call):
        call.outcome = outcome
    assert [line["code"] for line in written] == [outcome] * lines
