"""`florin demo` keeps what it promises, and leaves nothing behind that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demo.scenarios import SCENARIOS
from runner import control, ports
from tests.support.ports import system_settings

pytestmark = pytest.mark.xdist_group("system")

# It takes half a minute alone on a small machine; beside other tests several times that.
DEADLINE_S = 240


def test_the_demo_sees_what_it_promised_and_stops_all_of_it(tmp_path: Path) -> None:
    with system_settings(tmp_path / "data") as settings:
        ended = subprocess.run(
            [sys.executable, "-m", "florin_cli", "demo", "--json"],
            env=control.environment(settings),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert not ports.taken(ports.wanted(settings), host=settings.bind_host)
    told = json.loads(ended.stdout)
    assert told["ok"]
    assert [each["name"] for each in told["scenarios"]] == [scenario.slug for scenario in SCENARIOS]
    assert all(each["ok"] for each in told["scenarios"])
    assert [check["name"] for check in told["proof"]["checks"] if not check["ok"]] == []
    assert told["timeline"][-1]["step"] == "order.completed"
    assert told["mails"]["sent"] == sum(scenario.orders for scenario in SCENARIOS)
    assert Path(told["data_dir"], "logs", "order_svc.log").exists()
