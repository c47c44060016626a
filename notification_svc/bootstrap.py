"""The one place that builds the notification service."""

from __future__ import annotations

from typing import Final

from florin.notification.v1.notification_service_pb2_grpc import (
    add_NotificationServiceServicer_to_server,
)

from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.rpc import Server, Servicer
from kit.runtime.service import Runtime
from kit.values.clock import system_clock
from kit.values.ids import new_id
from notification_svc.adapters.mailbox import Mailbox
from notification_svc.adapters.postgres.deliveries import DeliveryRepository, RequestRepository
from notification_svc.adapters.smtp import SmtpCarrier
from notification_svc.application.ports import Carrier, Scope
from notification_svc.application.send_deliveries import Sender
from notification_svc.settings import Settings
from notification_svc.transport.events import SUBSCRIPTIONS
from notification_svc.transport.grpc import NotificationServicer

NAME: Final = "notification_svc"

# How often retries, and what a dead process has left, are looked for. New deliveries do not wait for it.
_CLAIM_INTERVAL_S: Final = 1.0

# What was accepted for sending gets this long at shutdown; the rest is sent after the next start.
_DRAIN_TIMEOUT_S: Final = 5.0


async def build(settings: Settings) -> Runtime:
    """Return the service, ready to serve."""
    runtime = Runtime.build(NAME, settings, emits=[])
    deliveries = DeliveryRepository(runtime.database)
    carrier = carrier_of(settings)
    sender = Sender(deliveries=deliveries, carrier=carrier, mail_from=settings.mail_from)

    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=NAME,
        subscriptions=SUBSCRIPTIONS,
        scope=lambda step: scope_of(step, sender),
        new_id=new_id,
        linger_s=settings.event_linger_ms / 1000,
        replica=settings.replica,
    )
    runtime.worker("pump", pump.run)
    runtime.worker("sender", sender.run)
    runtime.every("deliveries.claim", _CLAIM_INTERVAL_S, sender.claim_due)

    server = Server(
        host=settings.bind_host,
        port=settings.port,
        servicers=[
            Servicer(
                "florin.notification.v1.NotificationService",
                add_NotificationServiceServicer_to_server,
                NotificationServicer(deliveries),
            )
        ],
    )
    runtime.serve_grpc(server)
    # After the server and while the workers still run, because one of them does the sending.
    runtime.doors.append(lambda: sender.drain(_DRAIN_TIMEOUT_S))
    runtime.closers.append(carrier.close)
    return runtime


def carrier_of(settings: Settings) -> Carrier:
    """Return what takes the messages away: the mail server, or the mailbox folder if none is set."""
    if settings.smtp_url:
        return SmtpCarrier(settings.smtp_url, settings.mail_from)
    return Mailbox(settings.mailbox)


def scope_of(step: Step, sender: Sender) -> Scope:
    """Return what event handlers are given in a step."""
    return Scope(
        requests=RequestRepository(step.connection),
        send_after_commit=lambda deliveries: step.after_commit(lambda: sender.offer(deliveries)),
        new_id=new_id,
        clock=system_clock,
    )
