"""What `florin scale` and `florin restart` refuse, and how the wanted numbers are kept."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from runner import replicas, scaling, services, state
from runner.secrets import ensure
from runner.settings import Settings
from terminal.errors import EXIT_NOT_RUNNING, EXIT_USAGE, CommandError
from tests.unit.runner.fakes import Stage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.model_validate({"data_dir": tmp_path, "replicas_payment": 2})
    settings.run_dir.mkdir()
    return settings


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Settings:
    """A system of two processes, of which this test is the supervisor."""
    stage = Stage(tmp_path)
    processes = [stage.supervised(name) for name in ("postgres", "order_svc", "payment_svc", "payment_svc-2")]
    state.write(settings, phase="up", processes=processes)
    return settings


def test_the_settings_number_counts_until_another_is_wanted(settings: Settings) -> None:
    assert replicas.names(settings, "payment_svc") == ["payment_svc", "payment_svc-2"]
    replicas.want(settings, {"payment_svc": 3})
    assert replicas.names(settings, "payment_svc") == ["payment_svc", "payment_svc-2", "payment_svc-3"]
    assert replicas.wanted(settings, "order_svc") == 1
    replicas.forget(settings)
    assert replicas.wanted(settings, "payment_svc") == 2


@pytest.mark.parametrize("nonsense", ["", "many", "0", "9"])
def test_a_number_that_cannot_be_is_passed_over(settings: Settings, nonsense: str) -> None:
    replicas.want(settings, {"payment_svc": 1})
    (settings.run_dir / "replicas" / "payment_svc").write_text(nonsense)
    assert replicas.wanted(settings, "payment_svc") == 2


def test_replicas_differ_in_name_log_and_port_alone(settings: Settings) -> None:
    first, second = services.replica_specs(settings, ensure(settings), "payment_svc", cwd=Path())
    assert (first.port, second.port) == settings.service_ports("payment_svc")
    assert {name for name in first.env if first.env[name] != second.env[name]} == {"FLORIN_PAYMENT_PORT"}


def test_every_replica_that_there_may_ever_be_is_a_source_of_prices(settings: Settings) -> None:
    (spec,) = services.replica_specs(settings, ensure(settings), "order_svc", cwd=Path())
    target = spec.env["FLORIN_INVENTORY_TARGET"]
    assert target.startswith("ipv4:127.0.0.1:50052,127.0.0.1:50152,127.0.0.1:50252,")
    assert target.count(",") == 7


def test_without_a_system_there_is_nothing_to_scale_or_to_restart(settings: Settings) -> None:
    for command in (lambda: scaling.scale(settings, {"order_svc": 2}), lambda: scaling.restart(settings)):
        with pytest.raises(CommandError) as refused:
            command()
        assert refused.value.exit_code == EXIT_NOT_RUNNING


@pytest.mark.parametrize("name", ["postgres", "payment_svc-2", "ledger_svc", "shop"])
def test_what_has_no_replicas_here_is_refused_by_name(running: Settings, name: str) -> None:
    for command in (lambda: scaling.scale(running, {name: 2}), lambda: scaling.restart(running, [name])):
        with pytest.raises(CommandError, match=name) as refused:
            command()
        assert refused.value.way_out == "Choose from order_svc, payment_svc."
        assert refused.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("count", [0, 9])
def test_a_number_beyond_the_limits_is_refused_and_nothing_is_changed(running: Settings, count: int) -> None:
    with pytest.raises(CommandError, match=f"cannot be {count} replicas of order_svc") as refused:
        scaling.scale(running, {"payment_svc": 1, "order_svc": count})
    assert "1 to 8" in refused.value.way_out
    assert replicas.wanted(running, "payment_svc") == 2


def test_two_changes_at_a_time_are_refused(running: Settings) -> None:
    with (running.run_dir / "changing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="under way"):
            scaling.scale(running, {"order_svc": 2})


def test_a_number_that_is_there_already_is_answered_at_once(running: Settings) -> None:
    counts = scaling.scale(running, {"payment_svc": 2})
    assert (counts["order_svc"], counts["payment_svc"]) == (1, 2)
