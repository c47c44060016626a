"""The edge's configuration follows from the protos and the settings, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pool import DescriptorPool

from edge import EdgeSettings, Endpoint, bootstrap, envoy_command, write_config
from edge.config import TEMPLATES
from edge.descriptors import descriptor_set, public_rpcs, service_files
from edge.routes import path_regex
from kit.runtime.roster import Context


def routes_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = connection(config)["route_config"]["virtual_hosts"][0]["routes"]
    return routes


def connection(config: dict[str, Any]) -> dict[str, Any]:
    """The HTTP connection manager, where all but the clusters is."""
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    manager: dict[str, Any] = chain["filters"][0]["typed_config"]
    return manager


def test_every_public_rpc_has_a_rest_and_a_grpc_route_and_internal_ones_have_none(
    tmp_path: Path,
) -> None:
    names = [route["name"] for route in routes_of(bootstrap(EdgeSettings(data_dir=tmp_path)))]
    assert "POST /v1/checkouts" in names
    assert "/florin.order.v1.OrderService/CreateCheckout" in names
    assert "POST /v1/webhooks/stripe" in names
    assert not [name for name in names if "Catalogue" in name or "ledger" in name]
    assert len(names) == len(set(names))
    assert names[-1] == "not found"


def test_only_webhooks_need_no_token() -> None:
    assert [rpc.name for rpc in public_rpcs() if not rpc.needs_token] == ["ReceiveStripeWebhook"]


def test_services_without_a_public_rpc_have_no_cluster(tmp_path: Path) -> None:
    config = bootstrap(EdgeSettings(data_dir=tmp_path))
    clusters = {cluster["name"] for cluster in config["static_resources"]["clusters"]}
    assert clusters == {"order_svc", "inventory_svc", "payment_svc", "otlp"}


def test_a_context_that_only_listens_serves_no_protos() -> None:
    # `florin.common.v1` has messages and no RPCs.
    assert service_files([Context(package="common", port=50060)]) == {}


def test_only_what_may_happen_twice_is_sent_again_after_it_may_have_begun(tmp_path: Path) -> None:
    """Reads, and a webhook, whose event's id is its key; never what its caller's key makes happen once."""
    retried_on = {
        route["name"]: set(route["route"]["retry_policy"]["retry_on"].split(","))
        for route in routes_of(bootstrap(EdgeSettings(data_dir=tmp_path)))
        if "retry_policy" in route.get("route", {})
    }
    unsent = {"connect-failure", "refused-stream", "reset-before-request"}
    for name in (
        "POST /v1/checkouts",
        "/florin.order.v1.OrderService/CreateCheckout",
        "PUT /v1/products/{sku}",
        "/florin.inventory.v1.InventoryService/PutProduct",
        "POST /v1/products/{sku}/stock:adjust",
        "/florin.inventory.v1.InventoryService/AdjustStock",
        "POST /v1/payments/{id}:decide",
        "/florin.payment.v1.PaymentService/DecidePayment",
    ):
        assert retried_on.pop(name) == unsent, name
    assert {"GET /v1/orders/{id}", "POST /v1/webhooks/stripe"} <= set(retried_on)
    for name, conditions in retried_on.items():
        assert conditions == {"connect-failure", "refused-stream", "reset"}, name


def test_the_descriptor_set_is_complete_and_knows_the_details_of_errors() -> None:
    """Each file comes after what it imports, so it loads into an empty pool in order."""
    pool = DescriptorPool()
    for file in descriptor_set().file:
        pool.Add(file)
    for name in (
        "google.rpc.Status",
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
        "google.api.HttpBody",
    ):
        assert pool.FindMessageTypeByName(name).full_name == name
    assert pool.FindServiceByName("florin.order.v1.OrderService").methods


def test_what_is_written_is_what_was_asked_for(tmp_path: Path) -> None:
    settings = EdgeSettings(data_dir=tmp_path, edge_port=18080, admin_port=19901)
    path = write_config(settings)
    assert yaml.safe_load(path.read_text()) == bootstrap(settings)
    assert "&id" not in path.read_text()
    assert str(path) in envoy_command(settings, binary=Path("/usr/bin/envoy"))


def test_replicas_by_name_are_resolved_and_by_address_are_not(tmp_path: Path) -> None:
    upstreams = {
        "order_svc": (Endpoint("order", 50051),),
        "inventory_svc": (Endpoint("10.0.0.1", 50052), Endpoint("10.0.0.2", 50052)),
        "payment_svc": (Endpoint("::1", 50053),),
    }
    config = bootstrap(EdgeSettings(data_dir=tmp_path, upstreams=upstreams))
    types = {each["name"]: each["type"] for each in config["static_resources"]["clusters"]}
    assert (types["order_svc"], types["inventory_svc"]) == ("STRICT_DNS", "STATIC")
    assert types["payment_svc"] == "STATIC"


def test_the_access_log_can_be_switched_off(tmp_path: Path) -> None:
    config = bootstrap(EdgeSettings(data_dir=tmp_path, access_log_ratio=0))
    assert connection(config)["access_log"] == []


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    settings = EdgeSettings.from_environment(
        {
            "FLORIN_DATA_DIR": str(tmp_path),
            "FLORIN_EDGE_PORT": "18080",
            "FLORIN_ORDER_PORT": "15051",
            "FLORIN_OTLP_ENDPOINT": "http://collector:4317",
            "FLORIN_TRACE_SAMPLE_RATIO": "0.01",
            "FLORIN_CORS_ORIGINS": "https://a.example,https://b.example",
        }
    )
    assert settings.edge_port == 18080
    assert settings.admin_port == 9901
    assert settings.upstreams["order_svc"] == (Endpoint("127.0.0.1", 15051),)
    assert settings.otlp == Endpoint("collector", 4317)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert connection(bootstrap(settings))["tracing"]["random_sampling"]["value"] == 1.0


@pytest.mark.parametrize(
    "wrong", [{"trace_sample_ratio": 1.5}, {"access_log_ratio": -1}, {"request_timeout_s": 0}]
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EdgeSettings(data_dir=tmp_path, **wrong)


@pytest.mark.parametrize("address", ["collector", "collector:", ":4317", "host:port"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        Endpoint.parse(address)


def test_a_variable_in_a_path_is_one_segment() -> None:
    assert path_regex("/v1/orders/{id}:watch") == "/v1/orders/[^/:]+:watch"
    with pytest.raises(ValueError, match="plain variables"):
        path_regex("/v1/{name=files/*}")


def test_the_reference_lists_every_public_rpc() -> None:
    reference = (TEMPLATES.parents[1] / "docs" / "reference" / "edge.md").read_text(encoding="utf-8")
    listed = [line for line in reference.splitlines() if "florin." in line and "Service/" in line]
    assert listed == [
        f"| `{binding.http_method} {binding.path_template}` | `{rpc.grpc_path[1:]}` "
        f"| {'yes' if rpc.needs_token else 'no'} |"
        for rpc in public_rpcs()
        for binding in rpc.bindings
    ]
