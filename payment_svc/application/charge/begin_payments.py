"""The stock is held: record the payment, then charge it."""

from __future__ import annotations

from collections.abc import Sequence

from florin.inventory.v1.inventory_events_pb2 import StockReserved

from kit.messaging.events import NewEvent, Received
from payment_svc.application.ports import Scope
from payment_svc.domain.attempt import Attempt
from payment_svc.domain.payment import Payment, platform_fee


async def begin_payments(scope: Scope, reserved: Sequence[Received[StockReserved]]) -> list[NewEvent]:
    """Record one payment per order and hand it to the charger, which calls the PSP after the commit.

    The attempt is on record before the PSP is called: if this process dies in between, the look-up of
    undecided payments takes over.
    """
    new = await scope.payments.add([_payment(scope, event) for event in reserved])
    scope.charge(new)
    return []


def _payment(scope: Scope, event: Received[StockReserved]) -> Payment:
    charge = event.message.charge
    now = scope.clock()
    payment_id = scope.new_id("pay")
    return Payment(
        id=payment_id,
        order_id=event.message.order_id,
        merchant_id=charge.merchant_id,
        customer_id=charge.customer_id,
        amount=charge.amount,
        fee_amount=platform_fee(charge.amount, charge.tax_amount, scope.fee_bp),
        tax_amount=charge.tax_amount,
        currency=charge.currency,
        payment_method_id=charge.payment_method_id,
        trail=event.trail,
        created_at=now,
        updated_at=now,
        attempts=(Attempt(payment_id, scope.psp, charge.amount, now),),
    )
