"""The service as it is run: a process between real Postgres and NATS."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc.aio
import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Session
from aiosmtpd.smtp import Envelope as MailEnvelope
from florin.common.v1.charge_pb2 import ChargeInstruction
from florin.notification.v1 import notification_pb2, notification_service_pb2
from florin.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from florin.order.v1.order_events_pb2 import OrderCompleted
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.messaging.bus import Bus
from tests.support.databases import ServiceDatabase
from tests.support.service import envelope_of
from tests.support.stores import free_port
from tests.support.waiting import eventually

OPS = (("x-florin-subject", "usr_ops"), ("x-florin-role", "ops"))


@asynccontextmanager
async def running(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m notification_svc serve`; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "notification_svc", "serve"), env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_serving(channel: grpc.aio.Channel) -> bool:
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


# The service has stopped its server long before, and would have dropped what it does not wait for.
_LONGER_THAN_TO_CLOSE_A_DOOR_S: Final = 1.5


class SlowOffice:
    """A mail server that takes its time over each message."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: MailEnvelope) -> str:
        self.has_begun.set()
        await asyncio.to_thread(self.may_go_on.wait, 30)
        return "250 taken"


async def test_sigterm_within_a_send_lets_the_mail_be_sent_and_marked(
    service_database: Callable[[str], ServiceDatabase], nats_url: str
) -> None:
    office = SlowOffice()
    controller = Controller(office, hostname="127.0.0.1", port=free_port())
    controller.start()
    port = free_port()
    database = service_database("notification_svc")
    environment = {
        "FLORIN_DATABASE_URL": database.url,
        "FLORIN_NATS_URL": nats_url,
        "FLORIN_NOTIFICATION_PORT": str(port),
        "FLORIN_SMTP_URL": f"smtp://127.0.0.1:{controller.port}",
    }
    orders = Bus(name="order_svc-1", url=nats_url)
    await orders.open()
    async with running(environment) as process, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await eventually(lambda: _is_serving(channel), "the service is healthy", deadline_s=60)
        charge = ChargeInstruction(merchant_id="mer_demo", amount=1999, currency="EUR", receipt_email="a@b.c")
        event = envelope_of(OrderCompleted(order_id="ord_1", charge=charge))
        await orders.publish(event)
        await eventually(office.has_begun.is_set, "the mail is on its way", deadline_s=60)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), _LONGER_THAN_TO_CLOSE_A_DOOR_S)
        office.may_go_on.set()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    async with await psycopg.AsyncConnection.connect(database.url) as connection:
        cursor = await connection.execute("SELECT status, attempts FROM deliveries")
        assert await cursor.fetchall() == [("SENT", 1)]
    await orders.close()
    controller.stop()


async def test_a_completed_order_becomes_a_mail_and_sigterm_ends_the_process_cleanly(
    service_database: Callable[[str], ServiceDatabase], nats_url: str, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "FLORIN_DATABASE_URL": service_database("notification_svc").url,
        "FLORIN_NATS_URL": nats_url,
        "FLORIN_NOTIFICATION_PORT": str(port),
        "FLORIN_MAILBOX_DIR": str(tmp_path),
    }
    orders = Bus(name="order_svc-1", url=nats_url)
    await orders.open()
    confirmed: list[str] = []
    await orders.on_confirm(lambda _, event_ids: confirmed.extend(event_ids))
    async with running(environment) as process, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await eventually(lambda: _is_serving(channel), "the service is healthy", deadline_s=60)
        charge = ChargeInstruction(
            merchant_id="mer_demo", amount=1999, currency="EUR", receipt_email="ada@example.com"
        )
        event = envelope_of(
            OrderCompleted(order_id="ord_1", charge=charge), confirm_to=orders.confirm_subject
        )
        await orders.publish(event)
        await eventually(lambda: list(tmp_path.rglob("*.eml")) != [], "the mail is there", deadline_s=60)
        await eventually(lambda: confirmed == [event.id], "the event is confirmed")

        stub = NotificationServiceStub(channel)
        request = notification_service_pb2.ListDeliveriesRequest(order_id="ord_1")

        async def is_marked() -> bool:
            answer = await stub.ListDeliveries(request, metadata=OPS)
            return [d.status for d in answer.deliveries] == [notification_pb2.Delivery.Status.SENT]

        await eventually(is_marked, "the delivery is marked as sent")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    await orders.close()
