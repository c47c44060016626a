"""What an order costs the inventory service: CPU of its process for reserving and selling one order.

Run against a migrated database that nobody else uses:
`FLORIN_DATABASE_URL=postgresql://… python -m bench.inventory_cost`
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import count
from typing import Final

import structlog
import uvloop
from florin.common.v1.charge_pb2 import ChargeInstruction, StockLine
from florin.order.v1.order_events_pb2 import OrderPlaced
from florin.payment.v1.payment_events_pb2 import PaymentCaptured
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg

from inventory_svc.application.catalogue.put_products import put_products
from inventory_svc.application.ports import Scope
from inventory_svc.application.stock.adjust_stock import adjust_stock
from inventory_svc.bootstrap import build
from inventory_svc.domain.product import AdjustStock, PutProduct
from inventory_svc.domain.stock import ProductKey
from inventory_svc.settings import Settings
from inventory_svc.transport.events import EMITS
from kit.messaging.bus import Bus
from kit.messaging.envelope import Envelope
from kit.messaging.events import Aggregate, event_type
from kit.messaging.pump import Pump
from kit.runtime.context import Runtime
from kit.values.clock import system_clock
from kit.values.ids import new_id
from kit.values.trail import Trail
from roster import ROSTER

# The catalogue of `florin bench`: enough products that most orders of a batch want different ones.
_PRODUCTS: Final = [ProductKey("mer_bench", f"sku-{number:03}") for number in range(100)]

# Long enough for the numbers to be steady on a busy machine.
_ORDERS: Final = {1: 1_000, 10: 5_000, 100: 10_000}

_CHARGE: Final = ChargeInstruction(
    merchant_id="mer_bench",
    customer_id="buyer-1",
    amount=1_999,
    tax_amount=319,
    currency="EUR",
    payment_method_id="pm_card_visa",
    receipt_email="buyer-1@example.test",
)


class _SilentBus(Bus):
    """A bus that costs nothing, so that only the service's own work is measured."""

    async def publish(self, envelope: Envelope) -> None:
        """Drop it."""

    async def confirm(self, consumer: str, confirm_to: str, event_ids: Sequence[str]) -> None:
        """Drop it."""


def _delivered(message: Message, order_id: str) -> Msg:
    envelope = Envelope(
        id=new_id("evt"),
        type=event_type(type(message)),
        source="bench",
        aggregate=Aggregate("order", order_id),
        payload=message.SerializeToString(),
        trail=Trail(new_id("cor")),
        time=system_clock(),
        confirm_to="confirm.bench",
    )
    return Msg(_client=Client(), subject="", data=envelope.payload, headers=envelope.headers())


async def _measure() -> None:
    url = os.environ["FLORIN_DATABASE_URL"]
    settings = Settings(database_url=url)
    bus = _SilentBus(name="bench", url="")
    runtime = Runtime("inventory_svc", settings, emits=EMITS, consumers=ROSTER.consumers, bus=bus)
    build(settings, runtime)
    await runtime.database.open()
    puts = [PutProduct(key, "Bench", 1_999, "EUR") for key in _PRODUCTS]
    deliveries = [AdjustStock(key, 1_000_000, "delivery") for key in _PRODUCTS]
    await runtime.steps.take(lambda step: put_products(runtime.scope(step), puts))
    await runtime.steps.take(lambda step: adjust_stock(runtime.scope(step), deliveries))
    numbers = count()
    for batch_size, orders in _ORDERS.items():
        for kind in ("warm-up", "measured"):
            cpu, wall = await _run(
                runtime.pump, batch_size, orders if kind == "measured" else orders // 5, numbers
            )
        print(f"batches of {batch_size:>3}: {cpu * 1e6:6.0f} µs CPU per order, {1 / wall:6.0f} orders/s")
    await runtime.database.close()


async def _run(pump: Pump[Scope], batch_size: int, orders: int, numbers: count[int]) -> tuple[float, float]:
    """Return CPU and wall seconds per order, for reserving and selling it."""
    cpu = wall = 0.0
    for _ in range(orders // batch_size):
        placed, captured = [], []
        for _ in range(batch_size):
            number = next(numbers)
            order_id = new_id("ord")
            lines = [
                StockLine(sku=_PRODUCTS[(number * 7 + line * 13) % len(_PRODUCTS)].sku, quantity=1 + line)
                for line in range(1 + number % 2)
            ]
            placed.append(_delivered(OrderPlaced(order_id=order_id, lines=lines, charge=_CHARGE), order_id))
            captured.append(_delivered(PaymentCaptured(order_id=order_id), order_id))
        started, cpu_started = time.perf_counter(), time.process_time()
        await pump.handle(placed)
        await pump.handle(captured)
        cpu += time.process_time() - cpu_started
        wall += time.perf_counter() - started
    return cpu / orders, wall / orders


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    uvloop.run(_measure())
