"""Refunds: never more than was captured and is still there."""

from dataclasses import replace
from typing import Final

from psp_sim.stripe import tokens
from psp_sim.stripe.errors import ApiError, invalid_request
from psp_sim.stripe.objects.rows import BalanceTransaction, Charge, Refund
from psp_sim.stripe.objects.unit_of_work import UnitOfWork
from psp_sim.stripe.requests import forms
from psp_sim.stripe.requests.forms import Params
from psp_sim.stripe.tokens import RefundOutcome

CREATE_PARAMS: Final = frozenset(
    """
    amount charge expand instructions_email metadata payment_intent reason
    refund_application_fee reverse_transfer
    """.split()
)

# "Some time later", says Stripe of refunds that change their mind: long enough to be seen in
# between, short enough for a test to wait for.
SETTLES_AFTER_MS: Final = 1500

_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def create(unit: UnitOfWork, params: Params) -> Refund:
    """Return a new refund of a charge, whole or in part.

    Raises:
        ApiError: 400 if there is no such charge, or not that much left of it.
    """
    charge = _charge(unit, params)
    amount = forms.positive_amount(params, "amount")
    reason = forms.choice(params, "reason", _REASONS)
    left = charge.amount_captured - charge.amount_refunded
    _check(charge, amount, left)
    amount = amount or left
    token = tokens.named(charge.payment_method)
    refund_id = unit.new_id("re")
    transaction = _transaction(unit, refund_id, -amount, charge.currency, "refund")
    refund = Refund(
        id=refund_id,
        created=unit.now,
        amount=amount,
        currency=charge.currency,
        status="pending" if token.refund is RefundOutcome.SUCCEEDS_LATER else "succeeded",
        charge=charge.id,
        payment_intent=charge.payment_intent,
        metadata=forms.metadata(params),
        reason=reason,
        balance_transaction=transaction.id,
        settles_at_ms=(None if token.refund is RefundOutcome.SUCCEEDS else unit.now_ms + SETTLES_AFTER_MS),
    )
    charge = replace(charge, amount_refunded=charge.amount_refunded + amount)
    unit.put(transaction)
    unit.put(charge)
    unit.put(refund)
    unit.announce("refund.created", refund)
    unit.announce("charge.refunded", charge)
    return refund


def settle(unit: UnitOfWork, refund_id: str) -> Refund:
    """Return the refund after it has changed its mind; one that has before stays as it is."""
    refund = unit.refund(refund_id)
    if refund.settles_at_ms is None:
        return refund
    refund = replace(refund, settles_at_ms=None)
    charge = unit.charge(refund.charge)
    if tokens.named(charge.payment_method).refund is RefundOutcome.FAILS_LATER:
        transaction = _transaction(unit, refund.id, refund.amount, refund.currency, "refund_failure")
        refund = replace(
            refund,
            status="failed",
            failure_reason="unknown",
            failure_balance_transaction=transaction.id,
        )
        unit.put(transaction)
        unit.put(replace(charge, amount_refunded=charge.amount_refunded - refund.amount))
    else:
        refund = replace(refund, status="succeeded")
    unit.put(refund)
    unit.announce("charge.refund.updated", refund)
    unit.announce("refund.failed" if refund.status == "failed" else "refund.updated", refund)
    return refund


def _charge(unit: UnitOfWork, params: Params) -> Charge:
    charge_id = forms.text(params, "charge")
    intent_id = forms.text(params, "payment_intent")
    if intent_id is not None:
        intent = unit.intent(intent_id, param="payment_intent", status=400)
        charge_id = intent.latest_charge
        if charge_id is None:
            raise invalid_request(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            )
    if charge_id is None:
        raise invalid_request(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
        )
    return unit.charge(charge_id, status=400)


def _check(charge: Charge, amount: int | None, left: int) -> None:
    refusal: ApiError | None = None
    if not charge.captured:
        refusal = invalid_request(
            f"Charge {charge.id} has not been captured, so there is nothing to refund.",
            code="charge_not_refundable",
            executed=True,
        )
    elif charge.disputed:
        refusal = invalid_request(
            f"Charge {charge.id} has been charged back; cannot issue a refund.",
            code="charge_disputed",
            executed=True,
        )
    elif left == 0:
        refusal = invalid_request(
            f"Charge {charge.id} has already been refunded.",
            code="charge_already_refunded",
            executed=True,
        )
    elif amount is not None and amount > left:
        refusal = invalid_request(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
            executed=True,
        )
    if refusal is not None:
        raise refusal


def _transaction(
    unit: UnitOfWork, refund_id: str, amount: int, currency: str, kind: str
) -> BalanceTransaction:
    return BalanceTransaction(
        id=unit.new_id("txn"),
        created=unit.now,
        amount=amount,
        fee=0,
        currency=currency,
        type=kind,
        reporting_category=kind,
        source=refund_id,
        description="REFUND FOR CHARGE" if kind == "refund" else "REFUND FAILURE",
    )
