"""The machine's own speed: measured with a fixed piece of work."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench import machine
from bench.machine import Speed


def test_a_loop_is_the_same_work_everywhere() -> None:
    # Whoever changes the text makes all figures so far incomparable.
    assert hashlib.sha256(machine._text()).hexdigest()[:16] == "f9f4d5a838279407"


def test_all_processors_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LOOP_S", 0.05)
    loop_ms, loops_per_s = machine.loops()
    assert loop_ms > 0
    assert loops_per_s > 0


def test_pages_are_synced_where_the_data_is_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_FSYNC_S", 0.02)
    assert machine.fsyncs_per_s(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_mean_is_of_what_was_measured() -> None:
    assert machine.mean([1.0, None, 3.0]) == 2.0
    assert machine.mean([None]) is None


def test_a_speed_reads_as_a_line() -> None:
    speed = Speed(when="before", loop_ms=1.234, loops_per_s=1_600.4, fsyncs_per_s=912.6)
    assert str(speed) == "1,600 loops/s of 1.23 ms, 913 fsyncs/s"
