"""Disputes: opened by the buyer's bank, answered with evidence or given up."""

from dataclasses import replace
from typing import Any, Final

from psp_sim.stripe.errors import invalid_request
from psp_sim.stripe.objects.rows import BalanceTransaction, Charge, Dispute, DisputeStatus
from psp_sim.stripe.objects.unit_of_work import UnitOfWork
from psp_sim.stripe.payments import money
from psp_sim.stripe.requests.forms import Params

UPDATE_PARAMS: Final = frozenset(("evidence", "expand", "metadata", "submit"))
CLOSE_PARAMS: Final = frozenset(("expand",))

# Stripe's test mode decides a dispute by these words in `evidence[uncategorized_text]`.
_VERDICTS: Final[dict[str, DisputeStatus]] = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(unit: UnitOfWork, charge: Charge) -> Dispute:
    """Return a dispute over what a charge captured; the money and a fee leave the balance."""
    dispute_id = unit.new_id("dp")
    transaction = BalanceTransaction(
        id=unit.new_id("txn"),
        created=unit.now,
        amount=-charge.amount_captured,
        fee=money.DISPUTE_FEE,
        currency=charge.currency,
        type="adjustment",
        reporting_category="dispute",
        source=dispute_id,
        description=f"Chargeback withdrawal for {charge.id}",
    )
    dispute = Dispute(
        id=dispute_id,
        created=unit.now,
        amount=charge.amount_captured,
        currency=charge.currency,
        status="needs_response",
        charge=charge.id,
        payment_intent=charge.payment_intent,
        payment_method=charge.payment_method,
        balance_transactions=[transaction.id],
        evidence={},
    )
    unit.put(replace(charge, disputed=True))
    unit.put(transaction)
    unit.put(dispute)
    unit.announce("charge.dispute.created", dispute)
    return dispute


def update(unit: UnitOfWork, params: Params, dispute_id: str) -> Dispute:
    """Return the dispute with the evidence given; test evidence decides it at once."""
    dispute = _open(unit, dispute_id)
    given: dict[str, Any] = params.get("evidence") or {}
    evidence = {**dispute.evidence, **{k: v for k, v in given.items() if isinstance(v, str)}}
    dispute = replace(dispute, evidence=evidence)
    verdict = _VERDICTS.get(evidence.get("uncategorized_text", ""))
    if verdict is not None:
        return _decide(unit, dispute, verdict)
    if evidence and params.get("submit") != "false":
        dispute = replace(dispute, status="under_review")
    unit.put(dispute)
    return dispute


def close(unit: UnitOfWork, params: Params, dispute_id: str) -> Dispute:
    """Return the dispute given up: it is lost."""
    return _decide(unit, _open(unit, dispute_id), "lost")


def _open(unit: UnitOfWork, dispute_id: str) -> Dispute:
    dispute = unit.dispute(dispute_id)
    if dispute.status in ("won", "lost"):
        raise invalid_request(f"This dispute is already closed: {dispute.status}.", executed=True)
    return dispute


def _decide(unit: UnitOfWork, dispute: Dispute, verdict: DisputeStatus) -> Dispute:
    dispute = replace(dispute, status=verdict)
    if verdict == "won":
        transaction = BalanceTransaction(
            id=unit.new_id("txn"),
            created=unit.now,
            amount=dispute.amount,
            fee=0,
            currency=dispute.currency,
            type="adjustment",
            reporting_category="dispute_reversal",
            source=dispute.id,
            description=f"Chargeback reversal for {dispute.charge}",
        )
        unit.put(transaction)
        dispute = replace(dispute, balance_transactions=[*dispute.balance_transactions, transaction.id])
    unit.put(dispute)
    unit.announce("charge.dispute.closed", dispute)
    return dispute
