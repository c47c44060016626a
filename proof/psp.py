"""Payments against the PSP's own list.

Both sides are what is stored, ours in the database and theirs at the PSP; what the services believe is not
asked. Only how to read the PSP's list is taken from its adapter, which alone speaks the protocol and knows
how the PSP counts money. If it miscounted a currency, it would charge wrongly and list alike, and no
comparison could tell: so tests/unit/payment_svc/test_amounts.py holds its table against the one that the PSP
publishes, and tests/integration/proof what it makes of a list against amounts written down by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from payment_svc.proof import Money, PspCharge
from proof.audit import PAYMENTS, Audit
from proof.verdict import Finding

# A payment that is being charged is known at the PSP first, and to us when its answer, its webhook or a
# look-up arrives; `nothing_stuck` watches that this happens.
_IN_FLIGHT_S: Final = 60

_COLUMNS: Final = """
SELECT id, order_id, coalesce(psp_reference, ''), status, currency, amount_captured,
    updated_at > now() - make_interval(secs => %s)
FROM payments LEFT JOIN attempts ON payment_id = id AND kind = 'CHARGE' AND state <> 'ENDED'
"""
# Webhooks that say of a payment what we cannot believe. They prove nothing by themselves: a PSP may be wrong,
# or somebody else have its secret. Whether money moved is in its list, and that is compared.
_SET_ASIDE: Final = """
SELECT count(*) FROM webhooks WHERE outcome = 'unknown_payment' OR starts_with(outcome, 'contradicts')
"""
_UNDECIDED: Final = frozenset({"INITIATED", "PROCESSING", "REQUIRES_ACTION", "AUTHORIZED", "UNKNOWN"})
_WITHOUT_MONEY: Final = frozenset({"FAILED", "VOIDED"})


@dataclass(frozen=True, slots=True)
class _Payment:
    id: str
    order_id: str
    psp_reference: str
    status: str
    currency: str
    captured: int
    is_recent: bool

    @property
    def is_in_flight(self) -> bool:
        return self.is_recent and self.status in _UNDECIDED


async def no_double_charge(audit: Audit) -> Finding:
    """What the PSP has taken is what we know as captured: once per payment, once per order, to the cent."""
    captured = await _payments(audit, "WHERE amount_captured > 0")
    listed = 0
    charges: list[PspCharge] = []
    holds: list[PspCharge] = []
    async for page in audit.psp.pages():
        listed += len(page)
        charges += [charge for charge in page if charge.money is Money.TAKEN]
        holds += [charge for charge in page if charge.money is Money.HELD]
    problems = _doubled(charges)
    problems |= _differing(captured, charges)
    problems |= await _unknown(audit, charges, captured)
    problems |= await _kept(audit, holds)
    [(set_aside,)] = await audit.rows(PAYMENTS, _SET_ASIDE)
    detail = f"{listed:,} payments at the PSP ({len(charges):,} succeeded)"
    return Finding(detail + (f", {set_aside:,} webhooks set aside" if set_aside else ""), problems)


def _differing(captured: Mapping[str, _Payment], charges: Iterable[PspCharge]) -> dict[str, str]:
    """Captures that the PSP does not have, or has otherwise."""
    problems: dict[str, str] = {}
    by_reference = {charge.reference: charge for charge in charges}
    for payment in captured.values():
        charge = by_reference.get(payment.psp_reference)
        if charge is None:
            problems[payment.id] = (
                f"{payment.id} is captured here,"
                f" {payment.psp_reference or 'no payment'} did not succeed there"
            )
        elif (charge.payment_id, charge.currency, charge.taken_amount) != (
            payment.id,
            payment.currency,
            Fraction(payment.captured),
        ):
            problems[payment.id] = (
                f"{payment.id} captured {payment.captured} {payment.currency},"
                f" {charge.reference} took {charge.taken_amount} {charge.currency} for {charge.payment_id}"
            )
    return problems


def _doubled(charges: Iterable[PspCharge]) -> dict[str, str]:
    problems: dict[str, str] = {}
    for what in ("payment_id", "order_id"):
        together: dict[str, list[str]] = defaultdict(list)
        for charge in charges:
            together[getattr(charge, what)].append(charge.reference)
        for key, ids in together.items():
            if key and len(ids) > 1:
                problems[f"double {key}"] = (
                    f"{key} was charged {len(ids)} times: {', '.join(sorted(ids)[:3])}"
                )
    return problems


async def _unknown(
    audit: Audit, charges: Iterable[PspCharge], captured: Mapping[str, _Payment]
) -> dict[str, str]:
    """Charges that we do not know as captured, not even when asked now."""
    suspects = [charge for charge in charges if charge.payment_id not in captured]
    if not suspects:
        return {}
    ids = sorted({charge.payment_id for charge in suspects})
    now = await _payments(audit, "WHERE id = ANY(%s)", ids)
    problems: dict[str, str] = {}
    for charge in suspects:
        payment = now.get(charge.payment_id)
        if payment is None:
            problems[charge.reference] = (
                f"{charge.reference} succeeded at the PSP for {charge.payment_id or 'nobody we know'}"
            )
        elif not payment.captured and not payment.is_in_flight:
            problems[charge.reference] = (
                f"{charge.reference} succeeded at the PSP, {payment.id} is {payment.status} here"
            )
    return problems


async def _kept(audit: Audit, holds: Iterable[PspCharge]) -> dict[str, str]:
    """Money of buyers that the PSP holds for payments that have failed here, or that nobody knows."""
    ids = sorted({hold.payment_id for hold in holds})
    payments = await _payments(audit, "WHERE id = ANY(%s)", ids) if ids else {}
    problems: dict[str, str] = {}
    for hold in holds:
        payment = payments.get(hold.payment_id)
        if payment is None:
            problems[hold.reference] = (
                f"{hold.reference} is {hold.status} for {hold.payment_id or 'nobody we know'}"
            )
        elif payment.status in _WITHOUT_MONEY:
            problems[hold.reference] = (
                f"{hold.reference} is {hold.status} at the PSP, {payment.id} is {payment.status} here"
            )
    return problems


async def _payments(audit: Audit, where: str, *parameters: Any) -> dict[str, _Payment]:
    rows = await audit.rows(PAYMENTS, _COLUMNS + where, (_IN_FLIGHT_S, *parameters))
    return {row[0]: _Payment(*row) for row in rows}
