"""The tutorial, run as it is written, on a fresh system of its own."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from runner import control
from runner.settings import Settings
from tests.support.console import Console, exchanges_of, matches
from tests.support.ports import system_settings

ROOT: Final = Path(__file__).resolve().parents[2]
TUTORIAL: Final = ROOT / "docs" / "tutorial.md"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a system that is not up yet, and is down afterwards whatever the tutorial did."""
    with system_settings(tmp_path / "data") as settings:
        yield settings
        control.stop(settings)


@pytest.fixture
def console(settings: Settings, tmp_path: Path) -> Iterator[Console]:
    """A reader's terminal: `florin` is on the PATH, the system is the test's own."""
    commands = tmp_path / "bin"
    commands.mkdir()
    florin = commands / "florin"
    florin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m florin_cli "$@"\n')
    florin.chmod(0o755)
    ports = {name: value for name, value in settings.model_dump().items() if "port" in name}
    own = {f"FLORIN_{name.upper()}": str(value) for name, value in ports.items()}
    own |= {
        "FLORIN_DATA_DIR": str(settings.data_dir),
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        # Wide enough that no line of a table is folded.
        "COLUMNS": "200",
    }
    with Console(cwd=ROOT, environment=os.environ | own) as console:
        yield console


@pytest.mark.xdist_group("system")
# A start, fifteen chapters and their waits: about two minutes on two cores that others use, too.
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl, which is not here")
def test_every_command_of_the_tutorial_prints_what_the_tutorial_says(
    console: Console, settings: Settings
) -> None:
    exchanges = list(exchanges_of(TUTORIAL))
    assert len(exchanges) > 20, "the tutorial has lost its console blocks"
    for exchange in exchanges:
        printed = console.run(exchange.command)
        expected = "\n".join(exchange.expected)
        assert matches(exchange.expected, printed), (
            f"\n$ {exchange.command}\nprinted:\n{printed}\nand the tutorial says:\n{expected}"
        )
    # Its `kill` hits the service that has the order, which is PROCESSING after it, and no other.
    told = (settings.logs_dir / "supervisor.log").read_text(encoding="utf-8")
    assert re.findall(r"(\w+) \(pid \d+\): ended with SIGKILL", told) == ["payment_svc"]
