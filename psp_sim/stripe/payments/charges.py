"""Charges, and the balance transactions that come of them."""

from dataclasses import replace

from psp_sim.stripe.objects.rows import BalanceTransaction, Charge, ChargeStatus, PaymentIntent
from psp_sim.stripe.objects.unit_of_work import UnitOfWork
from psp_sim.stripe.payments import money
from psp_sim.stripe.tokens import Token


def new(
    unit: UnitOfWork,
    intent: PaymentIntent,
    token: Token,
    *,
    status: ChargeStatus,
    authenticated: bool = False,
) -> Charge:
    """Return a charge of the whole intent, not captured yet; the caller puts it."""
    return Charge(
        id=unit.new_id("py" if token.type != "card" else "ch"),
        created=unit.now,
        amount=intent.amount,
        currency=intent.currency,
        status=status,
        payment_intent=intent.id,
        payment_method=token.id,
        metadata=intent.metadata,
        customer=intent.customer,
        description=intent.description,
        receipt_email=intent.receipt_email,
        authenticated=authenticated,
    )


def capture(unit: UnitOfWork, charge: Charge, amount: int) -> Charge:
    """Return the charge with an amount captured and booked on the balance, less the fee."""
    assert 0 < amount <= charge.amount
    assert not charge.captured
    transaction = BalanceTransaction(
        id=unit.new_id("txn"),
        created=unit.now,
        amount=amount,
        fee=money.fee(amount),
        currency=charge.currency,
        type="charge",
        reporting_category="charge",
        source=charge.id,
        description=charge.description,
    )
    unit.put(transaction)
    charge = replace(charge, captured=True, amount_captured=amount, balance_transaction=transaction.id)
    unit.put(charge)
    return charge
