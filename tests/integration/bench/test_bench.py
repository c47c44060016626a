"""A short run of the real thing: its numbers are not judged, its promises are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.settings import checkout_root


# It starts a whole system of its own.
@pytest.mark.xdist_group("whole_system")
@pytest.mark.timeout(300)
def test_a_short_bench_keeps_its_promises_and_reports_them(tmp_path: Path) -> None:
    command = (
        *(sys.executable, "-m", "florin_cli", "bench", "--json", "--no-search"),
        *("--rate", "20", "--duration", "2", "--warmup", "1", "--pgbench", "1"),
        *("--products", "5", "--buyers", "3", "--declined-share", "0.1", "--replicas", "2"),
        *("--history-days", "2", "--history-orders", "1000"),
    )

    done = subprocess.run(
        command,
        env=os.environ | {"FLORIN_DATA_DIR": str(tmp_path / "data")},
        cwd=checkout_root(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["orders"] == 60
    assert told["lost"] == told["still_open"] == []
    assert told["refused"] == {}
    assert told["outcomes"] == {"COMPLETED": 54, "FAILED card_declined": 6}
    assert told["proof_ok"] is True
    checked = {check["name"]: check["detail"] for check in told["proof_of_history"]["checks"]}
    assert checked["orders_payments_ledger_agree"].startswith("1,000 ended orders (980 completed)")
    # The proof after the load goes on from there.
    checked = {check["name"]: check["detail"] for check in told["proof"]["checks"]}
    assert "1,000 orders proven before" in checked["orders_payments_ledger_agree"]
    processes = {"order_svc", "order_svc-2", "ledger_svc-2", "envoy", "postgres", "load_generator"}
    assert told["cpu_ms_per_checkout"].keys() >= processes
    assert [speed["when"] for speed in told["machine"]] == ["before", "after"]
    assert all(speed["pgbench_tps"] > 0 for speed in told["machine"])
    assert told["loops_per_checkout"] > 0
    # The fresh system is gone, with all it wrote.
    assert list((tmp_path / "data-bench").iterdir()) == []
