"""Payments as protobuf messages."""

from __future__ import annotations

from florin.common.v1.charge_pb2 import NextAction
from florin.payment.v1 import payment_pb2
from florin.payment.v1.payment_service_pb2 import DecidePaymentRequest

from payment_svc.domain.decision import DecidePayment, PspWord
from payment_svc.domain.payment import Payment, Status


def payment_message(payment: Payment) -> payment_pb2.Payment:
    """Return a payment as its callers see it."""
    message = payment_pb2.Payment(
        id=payment.id,
        order_id=payment.order_id,
        merchant_id=payment.merchant_id,
        customer_id=payment.customer_id,
        status=payment_pb2.Payment.Status.Value(payment.status.value),
        amount=payment.amount,
        amount_captured=payment.amount_captured,
        amount_refunded=payment.amount_refunded,
        fee_amount=payment.fee_amount,
        tax_amount=payment.tax_amount,
        currency=payment.currency,
        payment_method_id=payment.payment_method_id,
        psp=payment.current.psp,
        psp_reference=payment.current.psp_reference,
        correlation_id=payment.trail.correlation_id,
        version=payment.version,
    )
    message.create_time.FromDatetime(payment.created_at)
    message.update_time.FromDatetime(payment.updated_at)
    if payment.status is Status.FAILED:
        message.failure.CopyFrom(
            payment_pb2.PaymentFailure(
                reason=payment.current.reason,
                decline_code=payment.current.decline_code,
                message=payment.current.message,
            )
        )
    if payment.status is Status.REQUIRES_ACTION and payment.current.next_action_type:
        message.next_action.CopyFrom(
            NextAction(type=payment.current.next_action_type, redirect_url=payment.current.next_action_url)
        )
    return message


def decision_of(request: DecidePaymentRequest, *, decided_by: str, word: PspWord) -> DecidePayment:
    """Return what a person decides, knowing what the PSP has just said."""
    return DecidePayment(
        payment_id=request.id,
        outcome=Status[payment_pb2.Payment.Status.Name(request.outcome)],
        reason=request.reason,
        decided_by=decided_by,
        psp_reference=request.psp_reference,
        against_psp=request.against_psp,
        word=word,
    )
