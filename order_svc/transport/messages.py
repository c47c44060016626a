"""Orders as protobuf messages, and checkouts as commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from florin.common.v1.charge_pb2 import MANUAL, NextAction
from florin.order.v1 import order_pb2
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest
from google.protobuf.timestamp_pb2 import Timestamp

from kit.rpc import Call
from kit.values.errors import FieldProblem, InvalidRequest
from order_svc.application.checkout.place_orders import Checkout
from order_svc.application.ports import TimelineStep
from order_svc.domain.order import Order
from order_svc.domain.pricing import CartLine
from order_svc.domain.reasons import CAPTURE_METHOD_UNSUPPORTED

_ADDRESS_FIELDS = ("name", "line1", "line2", "city", "postal_code", "country")


def checkout_of(request: CreateCheckoutRequest, call: Call, *, email_domain: str) -> Checkout:
    """Return the command of a request.

    Raises:
        InvalidRequest: CAPTURE_METHOD_UNSUPPORTED.
    """
    if request.capture_method == MANUAL:
        raise InvalidRequest(
            CAPTURE_METHOD_UNSUPPORTED,
            "checkouts are captured automatically; leave capture_method out",
            fields=(FieldProblem("capture_method", "MANUAL is not offered for checkouts"),),
        )
    address = {name: value for name in _ADDRESS_FIELDS if (value := getattr(request.shipping_address, name))}
    attribution = dict(request.attribution)
    customer_id = call.principal.subject
    return Checkout(
        merchant_id=request.merchant_id,
        customer_id=customer_id,
        cart=tuple(CartLine(item.sku, item.quantity) for item in request.items),
        currency=request.currency,
        payment_method_id=request.payment_method_id,
        expected_total_amount=(
            request.expected_total_amount if request.HasField("expected_total_amount") else None
        ),
        shipping_address=address,
        attribution=attribution,
        receipt_email=request.receipt_email or f"{customer_id}@{email_domain}",
        trail=call.trail,
    )


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def order_message(order: Order) -> order_pb2.Order:
    """Return an order as its callers see it."""
    message = order_pb2.Order(
        id=order.id,
        merchant_id=order.merchant_id,
        customer_id=order.customer_id,
        status=order_pb2.Order.Status.Value(order.status.value),
        reason=order.reason,
        lines=[
            order_pb2.OrderLine(
                sku=line.sku,
                name=line.name,
                quantity=line.quantity,
                unit_amount=line.unit_amount,
                total_amount=line.total_amount,
                tax_amount=line.tax_amount,
            )
            for line in order.lines
        ],
        currency=order.currency,
        subtotal_amount=order.total_amount - order.tax_amount,
        tax_amount=order.tax_amount,
        total_amount=order.total_amount,
        payment_id=order.payment_id,
        payment_method_id=order.payment_method_id,
        correlation_id=order.trail.correlation_id,
        version=order.version,
        create_time=_timestamp(order.created_at),
        update_time=_timestamp(order.updated_at),
        attribution=dict(order.attribution),
    )
    if order.shipping_address:
        message.shipping_address.CopyFrom(order_pb2.Address(**order.shipping_address))
    if order.ended_at is not None:
        message.end_time.CopyFrom(_timestamp(order.ended_at))
    if order.next_action_type:
        message.next_action.CopyFrom(
            NextAction(type=order.next_action_type, redirect_url=order.next_action_url)
        )
    return message


def timeline_messages(steps: Sequence[TimelineStep]) -> list[order_pb2.TimelineStep]:
    """Return timeline steps as their callers see them."""
    return [
        order_pb2.TimelineStep(
            time=_timestamp(step.at),
            service=step.service,
            step=step.step,
            detail=step.detail,
            trace_id=step.trace_id,
            event_id=step.event_id,
        )
        for step in steps
    ]
