"""What an auditor asks the payments' database: what is wrong in it, and facts to compare others with.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class CapturedPayment:
    """A row of `CAPTURED_PAYMENTS`; amounts in minor units of `currency`."""

    order_id: str
    id: str
    merchant_id: str
    customer_id: str
    psp: str
    currency: str
    amount_captured: int
    amount_refunded: int
    fee_amount: int
    tax_amount: int


CAPTURED_PAYMENTS: Final = """
SELECT order_id, id, merchant_id, customer_id, psp, currency, amount_captured, amount_refunded, fee_amount,
    tax_amount
FROM payments WHERE amount_captured > 0
"""

# Payments that break refunded <= captured <= authorised, or whose parts are more than the whole.
BROKEN_CAPS: Final = """
SELECT id, amount, amount_captured, amount_refunded, fee_amount + tax_amount FROM payments
WHERE NOT (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount
    AND fee_amount >= 0 AND tax_amount >= 0 AND fee_amount + tax_amount <= amount)
"""

# Payments that are undecided for longer than `open_s`, `action_s` while the buyer has to do something, or
# `bank_s` while a bank decides. By their birth: look-ups without an answer turn PROCESSING into UNKNOWN and
# back, as if it were new each time. What is PROCESSING with a reference is so by the PSP's own word.
STUCK_PAYMENTS: Final = """
SELECT id, status, extract(epoch FROM now() - created_at)::int FROM payments
WHERE status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
    AND created_at < now() - make_interval(secs => CASE
        WHEN status = 'REQUIRES_ACTION' THEN %(action_s)s
        WHEN status = 'PROCESSING' AND psp_reference IS NOT NULL THEN %(bank_s)s
        ELSE %(open_s)s END)
"""

# Of the orders `ids`, those whose payment is being decided by a bank, for less than `bank_s`.
AT_THE_BANK: Final = """
SELECT order_id FROM payments
WHERE order_id = ANY(%(ids)s) AND status = 'PROCESSING' AND psp_reference IS NOT NULL
    AND created_at >= now() - make_interval(secs => %(bank_s)s)
"""

PAYMENTS_COUNT: Final = "SELECT count(*) FROM payments"


class Money(Enum):
    """Where the buyer's money is, as a PSP lists it."""

    TAKEN = "taken"
    # In its hand, or it may still take it.
    HELD = "held"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PspCharge:
    """A payment in the PSP's own list.

    Attributes:
        reference: the PSP's id of it.
        payment_id: ours, as it was sent along; empty if it was not. `order_id` likewise.
        taken_amount: in ISO minor units of `currency`; a fraction if the PSP took a part of one.
        status: the PSP's own word, for people.
        created_s: Unix seconds of its making.
    """

    reference: str
    payment_id: str
    order_id: str
    currency: str
    taken_amount: Fraction
    money: Money
    status: str
    created_s: int = 0


class NoListing(Exception):
    """The PSP does not give its list."""


class PspListing(Protocol):
    """What a PSP has taken and holds, by its own list."""

    def pages(self, since_s: int = 0) -> AsyncIterator[list[PspCharge]]:
        """Page through all payments that the PSP knows of, newest first, back to those made at `since_s`.

        Raises:
            NoListing: there is no list to be had now.
        """


@dataclass(frozen=True, slots=True)
class PspMovement:
    """A line of the PSP's own account of our money there; lines are only ever added.

    Attributes:
        reference: the PSP's id of the line.
        kind: the PSP's own word: charge, refund, dispute and so on.
        source: the PSP's id of what moved it, for people.
        payment_id: ours, if the PSP knows of which payment it is.
        amount: in ISO minor units of `currency`, before the PSP's fees; negative where money left.
        is_payout: from the PSP to our bank, which is about no payment.
    """

    reference: str
    kind: str
    source: str
    payment_id: str
    currency: str
    amount: Fraction
    created_s: int
    is_payout: bool


class PspEvidence(PspListing, Protocol):
    """All that a PSP says of our money."""

    def movements(self, since_s: int = 0) -> AsyncIterator[list[PspMovement]]:
        """Page through what moved our balance there, newest first, back to what was made at `since_s`.

        Raises:
            NoListing: there is no list to be had now.
        """

    async def payment(self, reference: str) -> PspCharge | None:
        """Return one payment as the PSP has it now; None if it knows none of that id.

        Raises:
            NoListing: it cannot be asked now.
        """
