"""One process hosts several contexts: each keeps its own data and messages, all are served on one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import grpc
import grpc.aio
import pytest
from florin.common.v1.charge_pb2 import ChargeInstruction, StockLine
from florin.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from florin.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from florin.order.v1.order_events_pb2 import OrderPlaced
from florin.payment.v1.payment_events_pb2 import PaymentCaptured
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inventory_svc.settings import Settings as InventorySettings
from kit.messaging.bus import Bus
from kit.runtime.process import build, serve
from kit.runtime.roster import Context, Roster
from kit.runtime.settings import ContextSettings, ProcessSettings
from ledger_svc.settings import Settings as LedgerSettings
from roster import ROSTER
from tests.support.databases import ServiceDatabase
from tests.support.service import envelope_of
from tests.support.stores import free_port
from tests.support.waiting import eventually

# The ledger lives with the inventory: one word in its line.
SMALL: Final = Roster(
    (
        Context(package="inventory_svc", port=50052, consumes=ROSTER["inventory_svc"].consumes),
        Context(package="ledger_svc", host="inventory_svc", consumes=ROSTER["ledger_svc"].consumes),
    )
)
MERCHANT: Final = (
    ("x-florin-subject", "m"),
    ("x-florin-role", "merchant"),
    ("x-florin-merchant", "mer_1"),
)


@pytest.fixture
async def channel(
    service_database: Callable[[str], ServiceDatabase], nats_url: str, redis_url: str
) -> AsyncIterator[grpc.aio.Channel]:
    """A way to the one process that hosts both."""
    kinds: dict[str, type[ContextSettings]] = {
        "inventory_svc": InventorySettings,
        "ledger_svc": LedgerSettings,
    }
    settings = {
        package: kind(database_url=service_database(package).url, nats_url=nats_url, redis_url=redis_url)
        for package, kind in kinds.items()
    }
    contexts = [
        build(SMALL, context, settings[context.package]) for context in SMALL.hosted_by("inventory_svc")
    ]
    port, until = free_port(), asyncio.Event()
    process = asyncio.create_task(serve(ProcessSettings(drain_pause_s=0), port, contexts, until=until))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await eventually(lambda: is_serving(channel), "the process serves")
        yield channel
    until.set()
    await process


async def is_serving(channel: grpc.aio.Channel) -> bool:
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_all_contexts_answer_on_one_port_and_each_acts_on_its_events(
    channel: grpc.aio.Channel, nats_url: str
) -> None:
    inventory = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    put = inventory_service_pb2.PutProductRequest(
        sku="mug", name="Mug", unit_amount=2_000, currency="EUR", request_id="put"
    )
    await inventory.PutProduct(put, metadata=MERCHANT)

    sender = Bus(name="sender", url=nats_url)
    await sender.open()
    charge = ChargeInstruction(merchant_id="mer_1", customer_id="cus_1", amount=2_000, currency="EUR")
    await sender.publish(
        envelope_of(OrderPlaced(order_id="ord_1", charge=charge, lines=[StockLine(sku="mug", quantity=1)]))
    )
    captured = PaymentCaptured(
        payment_id="pay_1",
        order_id="ord_1",
        merchant_id="mer_1",
        customer_id="cus_1",
        amount=2_000,
        fee_amount=50,
        currency="EUR",
        psp="stripe",
    )
    await sender.publish(envelope_of(captured))

    ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)
    account = ledger_service_pb2.GetBalanceRequest(account="merchant:mer_1:EUR")

    async def is_posted() -> bool:
        try:
            return bool((await ledger.GetBalance(account, metadata=MERCHANT)).posted == 1_950)
        except grpc.aio.AioRpcError:
            return False

    await eventually(is_posted, "the ledger has posted the capture")
    await sender.close()
