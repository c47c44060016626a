"""What a storm may leave behind, and what it may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.carts import Mix
from bench.measure import Promises
from proof import Check, Proof
from storm.plan import Plan
from storm.report import Report, as_json, print_report
from storm.schedule import Fault
from tests.unit.bench.test_report import _all, _measured

PROVEN = Proof((Check("ledger_zero_sum", True, "all"),))
REPORT = Report(
    plan=Plan(
        seed=1,
        storm_s=60.0,
        every_s=5.0,
        rate_per_s=10.0,
        replicas=2,
        faults=(Fault.KILL,),
        mix=Mix(products=1),
    ),
    load=replace(_measured(_all()), refused={"503": 1}),
    struck={"kill": 3},
    missed={},
    repeated=1,
    never_accepted={},
    repeated_open=[],
    proof=PROVEN,
)


def test_refusals_that_were_accepted_when_they_came_again_are_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert REPORT.ok
    assert as_json(REPORT)["ok"]
    print_report(REPORT)
    assert "Every promise was kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (replace(REPORT, struck={}), "Nothing came of kill"),
        (replace(REPORT, load=replace(REPORT.load, refused={"400": 1})), "answered 400"),
        (replace(REPORT, never_accepted={"503": 2}), "2 checkouts were refused"),
        (replace(REPORT, repeated_open=["ord_1"]), "1 orders that were answered 202 have not ended"),
        (
            replace(
                REPORT,
                load=replace(
                    REPORT.load,
                    promises=Promises(accepted=1, outcomes={}, lost=["ord_1"], still_open=[]),
                ),
            ),
            "are not in the database",
        ),
        (replace(REPORT, proof=Proof((Check("caps_hold", False, "1"),))), "The proof failed: caps_hold"),
    ],
)
def test_whatever_was_lost_or_nobody_would_repeat_is_told(report: Report, said: str) -> None:
    assert not report.ok
    assert any(said in failure for failure in report.failures)
