"""Puts the notification service together: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from florin.notification.v1 import notification_service_pb2_grpc

from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.store.database import Connection
from notification_svc.adapters.mailbox import Mailbox
from notification_svc.adapters.postgres.deliveries import PostgresDeliveries, PostgresRequests
from notification_svc.adapters.smtp import SmtpCarrier
from notification_svc.application.ports import Carrier, Deliveries, Requests, Scope
from notification_svc.application.send_deliveries import Sender
from notification_svc.domain import schedule
from notification_svc.settings import Settings
from notification_svc.transport.events import SUBSCRIPTIONS
from notification_svc.transport.grpc import NotificationServicer

# What was accepted for sending gets this long at shutdown; the rest is sent after the next start.
_DRAIN_TIMEOUT_S: Final = 5.0


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    requests: Callable[[Connection], Requests] = PostgresRequests,
    deliveries: Deliveries | None = None,
    carrier: Carrier | None = None,
) -> None:
    """Put the notification service onto its runtime; what a test gives takes the place of the real thing."""
    deliveries = deliveries or PostgresDeliveries(runtime.database)
    carrier = carrier or carrier_of(settings)
    sender = Sender(deliveries=deliveries, carrier=carrier, mail_from=settings.mail_from)

    def scope(step: Step) -> Scope:
        return Scope(
            requests=requests(step.connection),
            send_after_commit=lambda new: step.after_commit(lambda: sender.offer(new)),
            new_id=runtime.new_id,
            clock=runtime.clock,
        )

    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.worker("sender", sender.run, pulse=sender.pulse)
    runtime.keep("deliveries", days=settings.delivery_days)
    runtime.every(schedule.CLAIM_DUE, sender.claim_due)
    # After the server and while the workers still run, because one of them does the sending.
    runtime.doors.append(lambda: sender.drain(_DRAIN_TIMEOUT_S))
    runtime.closers.append(carrier.close)
    runtime.serve(
        "florin.notification.v1.NotificationService",
        notification_service_pb2_grpc.add_NotificationServiceServicer_to_server,
        NotificationServicer(deliveries),
    )


def carrier_of(settings: Settings) -> Carrier:
    """Return what takes the messages away: the mail server, or the mailbox folder if none is set."""
    if settings.smtp_url:
        return SmtpCarrier(settings.smtp_url, settings.mail_from)
    return Mailbox(settings.mailbox)
