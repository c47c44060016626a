"""The notification service on a real database, with a mailbox of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from florin.common.v1.charge_pb2 import ChargeInstruction, StockLine
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed

from kit.messaging.step import Step
from kit.values.clock import system_clock
from kit.values.ids import new_id
from notification_svc.adapters.mailbox import Mailbox
from notification_svc.adapters.postgres.deliveries import PostgresDeliveries, PostgresRequests
from notification_svc.application.ports import Carrier, Scope
from notification_svc.application.send_deliveries import Sender
from notification_svc.transport.events import SUBSCRIPTIONS
from tests.conftest import RecordingRuntimeFactory
from tests.support.service import RecordingRuntime, Scenario, pump_of

FROM = "Florin <no-reply@florin.example>"


def completed(order_id: str, *, email: str = "ada@example.com") -> OrderCompleted:
    """Return a completed order of two mugs for €19.99."""
    charge = _charge(email)
    lines = [StockLine(sku="mug", quantity=2)]
    return OrderCompleted(order_id=order_id, payment_id="pay_1", charge=charge, lines=lines)


def failed(order_id: str, reason: str) -> OrderFailed:
    """Return the same order, failed."""
    return OrderFailed(order_id=order_id, reason=reason, charge=_charge("ada@example.com"))


def _charge(email: str) -> ChargeInstruction:
    return ChargeInstruction(
        merchant_id="mer_demo", amount=1999, tax_amount=319, currency="EUR", receipt_email=email
    )


@dataclass(frozen=True, slots=True)
class Notifier:
    """The service, without its background: the sender sends when the test says so."""

    runtime: RecordingRuntime
    sender: Sender
    folder: Path
    scenario: Scenario[Scope]

    @property
    def deliveries(self) -> PostgresDeliveries:
        """The deliveries as the service reads them."""
        return PostgresDeliveries(self.runtime.database)

    def restarted(self, carrier: Carrier | None = None) -> Notifier:
        """Return the service as it is after a crash: what was in memory is gone."""
        return notifier(self.runtime, self.folder, carrier)

    async def send_waiting(self) -> int:
        """Send what was handed over by the last events and return how much that was."""
        waiting = self.sender.take_waiting()
        if waiting:
            await self.sender.send(waiting)
        return len(waiting)

    async def make_due(self) -> None:
        """Let the time of claims and pauses pass."""
        async with self.runtime.database.connection() as connection:
            await connection.execute("UPDATE deliveries SET due_at = now() WHERE status = 'PENDING'")

    def mails(self) -> list[str]:
        """Return the messages in the mailbox."""
        return [path.read_text() for path in sorted(self.folder.rglob("*.eml"))]

    async def states(self) -> list[tuple[str, str, int, str]]:
        """Return (order, status, attempts, last error) of all deliveries."""
        async with self.runtime.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT order_id, status, attempts, last_error FROM deliveries ORDER BY order_id"
            )
            return [(o, s, a, e) for o, s, a, e in await cursor.fetchall()]


def notifier(runtime: RecordingRuntime, folder: Path, carrier: Carrier | None = None) -> Notifier:
    """Return the service in front of a carrier; by default the mailbox."""
    sender = Sender(
        deliveries=PostgresDeliveries(runtime.database), carrier=carrier or Mailbox(folder), mail_from=FROM
    )

    def scope(step: Step) -> Scope:
        return Scope(
            requests=PostgresRequests(step.connection),
            send_after_commit=lambda new: step.after_commit(lambda: sender.offer(new)),
            new_id=new_id,
            clock=system_clock,
        )

    scenario = Scenario(runtime, pump_of(runtime, SUBSCRIPTIONS, scope))
    return Notifier(runtime, sender, folder, scenario)


@pytest.fixture
async def service(service_runtime: RecordingRuntimeFactory, tmp_path: Path) -> Notifier:
    """The service in front of an empty mailbox."""
    return notifier(await service_runtime("notification_svc", emits=[]), tmp_path / "mailbox")


def orders(count: int) -> Iterable[OrderCompleted]:
    """Return completed orders `ord_000`, `ord_001`, …"""
    return [completed(f"ord_{number:03}") for number in range(count)]
