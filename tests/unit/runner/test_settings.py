"""The settings are the contract's: names, defaults and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from runner.settings import Settings

CONTRACT_PORTS = {
    "FLORIN_EDGE_PORT": 8080,
    "FLORIN_ENVOY_ADMIN_PORT": 9901,
    "FLORIN_ORDER_PORT": 50051,
    "FLORIN_INVENTORY_PORT": 50052,
    "FLORIN_PAYMENT_PORT": 50053,
    "FLORIN_LEDGER_PORT": 50054,
    "FLORIN_NOTIFICATION_PORT": 50055,
    "FLORIN_PSP_SIM_PORT": 12111,
    "FLORIN_POSTGRES_PORT": 54329,
    "FLORIN_NATS_PORT": 42229,
    "FLORIN_REDIS_PORT": 63799,
}


@pytest.mark.parametrize(("variable", "default"), CONTRACT_PORTS.items())
def test_every_port_has_the_contracts_default_and_can_be_moved(
    variable: str, default: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = variable.removeprefix("FLORIN_").lower()
    monkeypatch.delenv(variable, raising=False)
    assert getattr(Settings(), field) == default
    monkeypatch.setenv(variable, "12345")
    assert getattr(Settings(), field) == 12345


def test_everything_binds_to_loopback_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLORIN_BIND_HOST", raising=False)
    assert Settings().bind_host == "127.0.0.1"
    assert Settings(bind_host="0.0.0.0").local_host == "127.0.0.1"


def test_replicas_step_over_the_ports_of_the_other_services() -> None:
    settings = Settings.model_validate({"replicas_order": 3, "replicas_inventory": 2, "order_port": 50051})
    assert settings.service_ports("order_svc") == (50051, 50151, 50251)
    assert settings.service_ports("order_svc", 1) == (50051,)
    assert not set(settings.service_ports("order_svc")) & set(settings.service_ports("inventory_svc"))


def test_a_data_directory_means_the_same_wherever_processes_are_started() -> None:
    assert Settings(data_dir=Path("here")).data_dir == Path.cwd() / "here"


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_cannot_be_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLORIN_EDGE_PORT", port)
    with pytest.raises(ValidationError, match="edge_port"):
        Settings()
