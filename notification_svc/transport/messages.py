"""Deliveries as protobuf messages."""

from __future__ import annotations

from florin.notification.v1 import notification_pb2

from notification_svc.domain.delivery import Delivery


def delivery_message(delivery: Delivery) -> notification_pb2.Delivery:
    """Return a delivery as callers see it."""
    message = notification_pb2.Delivery(
        id=delivery.id,
        order_id=delivery.order_id,
        channel=delivery.channel,
        template=delivery.template.value,
        recipient=delivery.recipient,
        status=notification_pb2.Delivery.Status.Value(delivery.status.value),
        attempts=delivery.attempts,
        last_error=delivery.last_error,
    )
    message.create_time.FromDatetime(delivery.requested_at)
    if delivery.sent_at is not None:
        message.send_time.FromDatetime(delivery.sent_at)
    return message
