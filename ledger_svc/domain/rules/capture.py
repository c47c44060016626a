"""What is posted when a payment is captured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger_svc.domain.accounts import PLATFORM, account_code
from ledger_svc.domain.journal import Entry, Journal, JournalId

KIND: Final = "payment.captured"


@dataclass(frozen=True, slots=True)
class Capture:
    """Money that a PSP has taken from a card.

    Attributes:
        amount: all of it; fee and tax are parts of it.
        psp: name of the provider that holds it until it settles.
    """

    payment_id: str
    order_id: str
    merchant_id: str
    customer_id: str
    psp: str
    currency: str
    amount: int
    fee_amount: int
    tax_amount: int

    def __post_init__(self) -> None:
        if self.amount <= 0 or self.fee_amount < 0 or self.tax_amount < 0:
            raise ValueError(f"{self.payment_id}: needs an amount above 0, fee and tax of at least 0")
        if self.fee_amount + self.tax_amount > self.amount:
            raise ValueError(f"{self.payment_id}: fee and tax are more than the amount")


def capture_journal(
    capture: Capture, *, journal_id: JournalId, business_key: str, effective_at: datetime
) -> Journal:
    """Return the journal of a capture; what is zero has no entry.

    The first four lines say who owes and owns the money, the last two where it is
    (docs/decisions/0004): `psp_clearing` must equal what the PSP says it holds for us.
    """
    amount, currency = capture.amount, capture.currency
    owed = amount - capture.fee_amount - capture.tax_amount
    lines = (
        ("card", capture.customer_id, -amount),
        ("merchant", capture.merchant_id, owed),
        ("platform_revenue", PLATFORM, capture.fee_amount),
        ("tax_payable", PLATFORM, capture.tax_amount),
        ("psp_clearing", capture.psp, -amount),
        ("card_clearing", capture.psp, amount),
    )
    return Journal(
        id=journal_id,
        business_key=business_key,
        kind=KIND,
        reference=capture.payment_id,
        effective_at=effective_at,
        entries=tuple(
            Entry(account_code(kind, owner, currency), minor) for kind, owner, minor in lines if minor != 0
        ),
        order_id=capture.order_id,
        payment_id=capture.payment_id,
    )
