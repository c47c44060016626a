"""`florin.notification.v1.NotificationService`."""

from __future__ import annotations

from typing import Any

import grpc.aio
from florin.notification.v1 import notification_service_pb2, notification_service_pb2_grpc

from notification_svc.application.list_deliveries import list_deliveries
from notification_svc.application.ports import Deliveries
from notification_svc.transport.messages import delivery_message

Context = grpc.aio.ServicerContext[Any, Any]


class NotificationServicer(notification_service_pb2_grpc.NotificationServiceServicer):
    """Translates between the protos and the use cases."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    async def ListDeliveries(
        self, request: notification_service_pb2.ListDeliveriesRequest, context: Context
    ) -> notification_service_pb2.ListDeliveriesResponse:
        """Return the deliveries of one order, oldest first."""
        found = await list_deliveries(self._deliveries, request.order_id)
        return notification_service_pb2.ListDeliveriesResponse(
            deliveries=[delivery_message(d) for d in found]
        )
