"""Shows what was told to whom about an order."""

from __future__ import annotations

from notification_svc.application.ports import Deliveries
from notification_svc.domain.delivery import Delivery


async def list_deliveries(deliveries: Deliveries, order_id: str) -> list[Delivery]:
    """Return the deliveries of one order, oldest first; none for an order that nobody was told about."""
    return await deliveries.of_order(order_id)
