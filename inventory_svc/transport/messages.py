"""Products as protobuf messages."""

from __future__ import annotations

from datetime import datetime

from florin.inventory.v1.inventory_pb2 import Product as ProductMessage
from google.protobuf.timestamp_pb2 import Timestamp

from inventory_svc.domain.product import Price, Product


def product_message(product: Product) -> ProductMessage:
    """Return a product as callers see it."""
    return ProductMessage(
        sku=product.key.sku,
        merchant_id=product.key.merchant_id,
        name=product.name,
        unit_amount=product.unit_amount,
        currency=product.currency,
        on_hand=product.on_hand,
        reserved=product.reserved,
        available=product.available,
        sold=product.sold,
        version=product.version,
        create_time=_timestamp(product.created_at),
        update_time=_timestamp(product.updated_at),
    )


def price_message(price: Price) -> ProductMessage:
    """Return what a checkout needs to know of a product."""
    return ProductMessage(
        merchant_id=price.key.merchant_id,
        sku=price.key.sku,
        name=price.name,
        unit_amount=price.unit_amount,
        currency=price.currency,
    )


def _timestamp(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message
