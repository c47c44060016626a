"""The ways in other than REST: reflection, grpcurl, gRPC-Web, and the stubs that other teams install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from florin.common.v1.charge_pb2 import StockLine
from florin.order.v1.order_pb2 import Order as OrderMessage
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from roster import ROSTER
from runner.testing import System
from tests.support.shop import Order, Shop

pytestmark = pytest.mark.xdist_group("system")

CHECKOUT_ROOT = Path(__file__).resolve().parents[2]

# A service behind the edge believes these headers; only the edge can reach it in production.
AS_OPS = {"x-florin-subject": "usr_ops", "x-florin-role": "ops"}

# A cold package cache on a slow line.
INSTALL_DEADLINE_S = 240


def address_of(system: System, service: str) -> str:
    return f"127.0.0.1:{system.settings.service_ports(service)[0]}"


@pytest.mark.parametrize("service", tuple(ROSTER.processes))
def test_every_service_tells_what_it_offers(system: System, service: str) -> None:
    with grpc.insecure_channel(address_of(system, service)) as channel:
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    for context in ROSTER.hosted_by(service):
        package = f"florin.{context.name}.v1."
        assert any(name.startswith(package) for name in services), services
    assert services >= {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_a_client_without_protos_calls_a_service_by_reflection(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    order = await shop.waits_until_ended(await shop.buys("mug"))
    with grpc.insecure_channel(address_of(shop.system, "order_svc")) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("florin.order.v1.OrderService").FindMethodByName("GetOrder")
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        get_order = channel.unary_unary(
            "/florin.order.v1.OrderService/GetOrder",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        answer: Any = get_order(request(id=order.id), metadata=tuple(AS_OPS.items()), timeout=10)
    read = MessageToDict(answer, preserving_proto_field_name=True)
    assert (read["id"], read["status"]) == (order.id, "COMPLETED")


async def test_grpcurl_lists_and_calls_a_service(shop: Shop) -> None:
    grpcurl = shutil.which("grpcurl")
    if grpcurl is None:
        pytest.skip("grpcurl is not on PATH: `make tools` builds it where Go is")
    await shop.put_product("mug", stock=1)
    order = await shop.waits_until_ended(await shop.buys("mug"))
    address = address_of(shop.system, "order_svc")

    def run(*arguments: str) -> str:
        command = [grpcurl, "-plaintext", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    assert "florin.order.v1.OrderService" in run(address, "list").split()
    headers = [part for name, value in AS_OPS.items() for part in ("-H", f"{name}: {value}")]
    request = json.dumps({"id": order.id})
    answer = run(*headers, "-d", request, address, "florin.order.v1.OrderService/GetOrder")
    assert json.loads(answer)["status"] == "COMPLETED"


async def test_a_browser_places_a_checkout_by_grpc_web(shop: Shop) -> None:
    await shop.put_product("mug", stock=1)
    request = CreateCheckoutRequest(
        merchant_id=shop.merchant_id,
        items=[StockLine(sku="mug", quantity=1)],
        currency="EUR",
        payment_method_id="pm_card_visa",
    ).SerializeToString()
    headers = {
        "content-type": "application/grpc-web+proto",
        "x-grpc-web": "1",
        "authorization": f"Bearer {shop.token('buyer', shop.buyer('ada'))}",
        "idempotency-key": "k",
    }
    edge = f"http://127.0.0.1:{shop.system.settings.edge_port}"
    # A frame is a flag, the length in four bytes, and the message; the last frame has the trailers.
    framed = b"\x00" + len(request).to_bytes(4, "big") + request
    async with (
        aiohttp.ClientSession(edge, timeout=aiohttp.ClientTimeout(total=20)) as browser,
        browser.post("/florin.order.v1.OrderService/CreateCheckout", data=framed, headers=headers) as answer,
    ):
        assert answer.status == 200, answer
        body = await answer.read()
    length = int.from_bytes(body[1:5], "big")
    message = OrderMessage.FromString(body[5 : 5 + length])
    assert b"grpc-status:0" in body[5 + length :]
    read = MessageToDict(message, preserving_proto_field_name=True)
    ended = await shop.waits_until_ended(Order(read))
    assert ended.status == "COMPLETED"


@pytest.mark.slow
async def test_the_stubs_alone_are_enough_to_place_a_checkout(shop: Shop, tmp_path: Path) -> None:
    await shop.put_product("mug", stock=1)
    # Built from a copy: building leaves files beside the sources.
    sources = shutil.copytree(CHECKOUT_ROOT / "gen/python", tmp_path / "stubs")
    bare = tmp_path / "venv"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str | Path, stdin: str = "") -> str:
        done = subprocess.run(
            command,
            check=False,
            input=stdin,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", bare)
    run(bare / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", sources)
    program = shutil.copy(Path(__file__).with_name("buy_with_stubs.py"), tmp_path)
    edge = f"127.0.0.1:{shop.system.settings.edge_port}"
    token = shop.token("buyer", shop.buyer("ada"))
    printed = run(bare / "bin/python", "-I", program, edge, shop.merchant_id, "mug", stdin=token)
    order_id, status = printed.split()
    assert status == "COMPLETED"
    assert [order.id for order in await shop.orders()] == [order_id]
