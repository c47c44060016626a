"""A batch waits for neighbours by how many are to come."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kit.runtime.settings import ContextSettings
from kit.store.batch import Linger, wait_s
from order_svc.settings import Settings as OrderSettings
from payment_svc.settings import Settings as PaymentSettings

# From what an idle shop sees to more than a machine can do.
_RATES = (0, 1, 5, 10, 20, 40, 60, 80, 120, 200, 400, 1_000)


@pytest.mark.parametrize("longest_s", [0.03, 0.06, 0.1])
def test_the_wait_grows_with_the_load_up_to_its_bound(longest_s: float) -> None:
    waits = [wait_s(rate, longest_s) for rate in _RATES]
    assert waits[0] == 0
    assert waits[-1] == longest_s
    assert all(slower <= busier for slower, busier in pairwise(waits))
    assert any(0 < wait < longest_s for wait in waits), "it grows, it does not jump"


@pytest.mark.parametrize("longest_s", [0.003, 0.03, 0.1])
def test_nobody_waits_unless_neighbours_are_to_come_meanwhile(longest_s: float) -> None:
    for rate in _RATES:
        wait = wait_s(rate, longest_s)
        assert wait == 0 or rate * wait >= 1.5


def test_a_bound_of_nothing_never_waits() -> None:
    assert wait_s(10_000, 0.0) == 0


def test_a_context_that_has_seen_nothing_answers_at_once() -> None:
    assert Linger(1.0).seconds() == 0


def test_a_burst_is_noticed_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("kit.store.batch.time.monotonic", lambda: now)
    linger = Linger(0.1)
    for _ in range(30):
        now += 0.1
        linger.took(20)
    assert linger.seconds() == 0.1
    now += 60
    linger.took(1)
    assert linger.seconds() == 0


def test_all_waits_of_a_checkout_leave_half_of_the_second_that_it_may_take() -> None:
    # The intake; order.placed, stock.reserved, payment.captured, journal.posted; the fact of the PSP.
    events = 4 * ContextSettings.model_fields["event_linger_ms"].default
    intake = OrderSettings.model_fields["intake_linger_ms"].default
    fact = PaymentSettings.model_fields["fact_linger_ms"].default
    assert intake + events + fact <= 500
