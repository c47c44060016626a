"""The report says what was measured, and fails when a promise was broken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench import budget
from bench.carts import Mix
from bench.cpu import CpuTimes
from bench.load import Answers
from bench.machine import Speed
from bench.measure import Measured, judge
from bench.orders import Order
from bench.overload import Overload
from bench.percentiles import Percentiles
from bench.plan import Plan
from bench.report import Report, as_json
from bench.tables import print_report
from bench.window import Window
from proof import Check, Proof
from runner import interpreter

_WINDOW = Window(rate_per_s=2, warmup_s=1, measure_s=2)
# Database time at which the first checkout was due.
_START_S = 1_000.0

_CONTRACT = {
    "completed_per_s",
    "accept_ms",
    "completion_ms",
    "cpu_ms_per_checkout",
    "pgbench_tps",
    "ratio_to_pgbench",
    "duration_s",
    "orders",
    "proof_ok",
}


def _order(number: int, *, status: str = "COMPLETED", took_s: float | None = 0.2) -> Order:
    created_s = _START_S + _WINDOW.due_s(number) + 0.01
    reason = "card_declined" if status == "FAILED" else ""
    return Order(f"ord_{number}", status, reason, created_s, None if took_s is None else created_s + took_s)


def _answers(status: dict[int, int] | None = None) -> Answers:
    statuses = [(status or {}).get(number, 202) for number in range(_WINDOW.checkouts)]
    return Answers(
        sent_s=[_WINDOW.due_s(number) + 0.001 for number in range(_WINDOW.checkouts)],
        answered_s=[
            _WINDOW.due_s(number) + 0.011 if status else None for number, status in enumerate(statuses)
        ],
        status=statuses,
        order_id=[f"ord_{number}" if status == 202 else "" for number, status in enumerate(statuses)],
        reason=["" if status == 202 else f"{status} TOO_MANY_WAITING" for status in statuses],
        declined=[False] * _WINDOW.checkouts,
        watched_ms=[250.0],
    )


def _measured(orders: list[Order], *, status: dict[int, int] | None = None, open_ids: Any = ()) -> Measured:
    return judge(
        _WINDOW,
        _answers(status),
        {order.id: order for order in orders},
        still_open=list(open_ids),
        used=CpuTimes({"order_svc": 0.004, "order_svc-2": 0.004, "load_generator": 0.002}, 1.0, 4.0),
        drain_s=0.3,
        start_s=_START_S,
    )


def _speed(when: str, *, loop_ms: float, tps: float | None) -> Speed:
    return Speed(when=when, loop_ms=loop_ms, loops_per_s=1_000, fsyncs_per_s=500, pgbench_tps=tps)


def _report(steady: Measured, *, proof_ok: bool = True) -> Report:
    return Report(
        plan=Plan(mix=Mix(products=1)),
        steady=steady,
        windows=[steady],
        search=None,
        overloads=[],
        interpreter=interpreter.running(),
        speeds=[_speed("before", loop_ms=1.5, tps=300.0), _speed("after", loop_ms=2.5, tps=100.0)],
        proof=Proof((Check("stock_conserved", ok=proof_ok, detail=""),)),
    )


def _all() -> list[Order]:
    return [_order(number) for number in range(_WINDOW.checkouts)]


def test_percentiles_are_latencies_that_somebody_had() -> None:
    assert Percentiles.of(range(1, 101)) == Percentiles(50, 95, 99, 100)
    assert Percentiles.of([7.0]) == Percentiles(7, 7, 7, 7)
    assert Percentiles.of([]) == Percentiles(None, None, None, None)


def test_the_window_counts_what_ends_in_it_and_promises_count_all() -> None:
    measured = _measured(_all())

    assert measured.offered == 4
    assert measured.completed == 4
    assert measured.completed_per_s == 2.0
    assert measured.promises.accepted == 6
    assert measured.promises.outcomes == {"COMPLETED": 6}


def test_acceptance_is_measured_from_when_a_checkout_was_due() -> None:
    assert _measured(_all()).accept_ms.p50 == pytest.approx(11, abs=0.1)
    assert _measured(_all()).completion_ms.p50 == pytest.approx(200, abs=0.1)


def test_what_was_not_accepted_is_counted_by_its_answer() -> None:
    measured = _measured([_order(number) for number in (0, 1, 2, 5)], status={3: 503, 4: 0})

    assert measured.refused == {"503": 1, "no answer": 1}
    assert measured.reasons == {"503 TOO_MANY_WAITING": 1, "0 TOO_MANY_WAITING": 1}
    assert measured.refusal_ms.p99 == pytest.approx(11, abs=0.1)
    assert measured.promises.kept


def test_declined_checkouts_have_ended_but_are_not_completed() -> None:
    measured = _measured([*_all()[:5], _order(5, status="FAILED")])

    assert measured.promises.kept
    assert measured.promises.outcomes == {"COMPLETED": 5, "FAILED card_declined": 1}
    assert measured.completed == 3


def test_the_report_has_every_key_of_the_contract_and_is_json() -> None:
    told = json.loads(json.dumps(as_json(_report(_measured(_all())))))

    assert set(told) >= _CONTRACT
    assert told["accept_ms"].keys() == told["completion_ms"].keys() >= {"p50", "p95", "p99"}
    assert told["pgbench_tps"] == 200.0
    assert told["ratio_to_pgbench"] == 0.01
    assert told["orders"] == 6
    assert told["ok"] is True
    assert told["proof"] == {
        "ok": True,
        "checks": [{"name": "stock_conserved", "ok": True, "detail": "", "ms": 0}],
        "detail": "",
    }


def test_the_report_says_what_machine_and_what_python_it_was() -> None:
    told = json.loads(json.dumps(as_json(_report(_measured(_all())))))

    assert [speed["when"] for speed in told["machine"]] == ["before", "after"]
    assert told["machine"][0] == {
        "when": "before",
        "loop_ms": 1.5,
        "loops_per_s": 1_000,
        "fsyncs_per_s": 500,
        "pgbench_tps": 300.0,
    }
    assert told["python"].keys() == {"version", "implementation", "pgo", "lto", "is_shared"}


def test_the_cpu_of_a_checkout_is_told_in_loops_of_the_machine_it_ran_on() -> None:
    told = as_json(_report(_measured(_all())))

    # Two milliseconds a checkout, two milliseconds a loop on average.
    assert told["loop_ms"] == 2.0
    assert told["loops_per_checkout"] == 1.0
    assert [(line["part"], line["ms"], line["loops"]) for line in told["cpu_budget"]] == [
        ("order_svc", 2.0, 1.0)
    ]


def test_a_window_above_the_best_rate_is_told_beside_what_that_completed() -> None:
    measured = _measured([_order(number) for number in (0, 1, 2, 5)], status={3: 503, 4: 503})
    overload = Overload.of(2.0, measured, best_completed_per_s=2.0)
    told = as_json(replace(_report(measured), overloads=[overload]))["overload"]

    assert [(each["times"], each["goodput_share"], each["accepted"], each["refused"]) for each in told] == [
        (2.0, 0.5, 2, 2)
    ]
    assert told[0]["reasons"] == {"503 TOO_MANY_WAITING": 2}
    assert told[0]["refusal_ms"]["p99"] == pytest.approx(11, abs=0.1)


def test_a_report_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    measured = _measured(_all())
    overload = Overload.of(1.5, measured, best_completed_per_s=2.0)
    print_report(replace(_report(measured), overloads=[overload]))

    printed = capsys.readouterr().out
    assert "pgbench 300 transactions/s" in printed
    assert "loops of this machine" in printed
    assert "1.5" in printed


def test_an_order_that_is_lost_fails_the_run() -> None:
    report = _report(_measured(_all()[1:]))

    assert not report.ok
    assert report.failures == ["1 orders that were answered 202 are not in the database."]
    assert as_json(report)["lost"] == ["ord_0"]


def test_an_order_that_did_not_end_fails_the_run() -> None:
    orders = [*_all()[:5], _order(5, status="PROCESSING", took_s=None)]

    report = _report(_measured(orders, open_ids=["ord_5"]))

    assert report.failures == ["1 orders that were answered 202 have not ended."]
    assert as_json(report)["still_open"] == ["ord_5"]


def test_a_failed_proof_fails_the_run() -> None:
    assert _report(_measured(_all()), proof_ok=False).failures == ["The proof failed: stock_conserved."]


def test_a_proof_without_a_verdict_fails_the_run() -> None:
    report = replace(_report(_measured(_all())), proof=None)

    assert not report.ok
    assert report.failures == ["The proof failed: no verdict within 600 s."]
    assert as_json(report)["proof"] == {"ok": False, "checks": [], "detail": "no verdict within 600 s"}


def test_replicas_of_a_service_share_a_line_of_the_budget() -> None:
    lines = budget.beside_prototype(
        {"order_svc": 0.5, "order_svc-2": 0.25, "redis": 0.1, "load_generator": 9}
    )

    assert [(line.part, line.ms, line.prototype_ms) for line in lines] == [
        ("order_svc", 0.75, 0.75),
        ("redis", 0.1, None),
    ]


def test_cpu_is_counted_for_each_completed_checkout() -> None:
    assert _measured(_all()).cpu_ms_per_checkout == {
        "order_svc": 1.0,
        "order_svc-2": 1.0,
        "load_generator": 0.5,
    }


def test_a_restarted_process_counts_from_its_own_start() -> None:
    before = CpuTimes({"nats": 5.0, "redis": 1.0}, 0.0, 0.0)

    assert CpuTimes({"nats": 0.5, "redis": 1.5}, 1.0, 2.0).since(before).by_process == {
        "nats": 0.5,
        "redis": 0.5,
    }


def test_what_other_programs_take_of_the_machine_is_told() -> None:
    times = CpuTimes({"order_svc": 1.0, "load_generator": 0.5}, machine_busy_s=2.5, machine_s=10.0)

    assert times.busy_share == 0.25
    assert times.others_share == 0.1
