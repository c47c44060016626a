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
SELECT p.order_id, p.id, p.merchant_id, p.customer_id, coalesce(a.psp, ''), p.currency, p.amount_captured,
    p.amount_refunded, p.fee_amount, p.tax_amount
FROM payments p LEFT JOIN attempts a ON a.payment_id = p.id AND a.kind = 'CHARGE' AND a.state = 'DONE'
WHERE p.amount_captured > 0
"""

# Payments that break refunded <= captured <= authorised, whose parts are more than the whole, or of which
# another amount is captured than their charges have taken.
BROKEN_CAPS: Final = """
SELECT id, amount, amount_captured, amount_refunded, fee_amount + tax_amount FROM payments p
    LEFT JOIN (SELECT payment_id, sum(amount) AS taken FROM attempts WHERE kind = 'CHARGE' AND state = 'DONE'
               GROUP BY payment_id) a ON a.payment_id = p.id
WHERE NOT (0 <= amount_refunded AND amount_refunded <= amount_captured AND amount_captured <= amount
    AND fee_amount >= 0 AND tax_amount >= 0 AND fee_amount + tax_amount <= amount
    AND amount_captured = coalesce(taken, 0))
"""

# Payments that are undecided for longer than `open_s`, `action_s` while the buyer has to do something, or
# `bank_s` while a bank decides. By their birth: look-ups without an answer turn PROCESSING into UNKNOWN and
# back, as if it were new each time. What is PROCESSING with a reference is so by the PSP's own word, unless
# it is being closed.
STUCK_PAYMENTS: Final = """
SELECT p.id, p.status, extract(epoch FROM now() - p.created_at)::int
FROM payments p LEFT JOIN attempts a ON a.payment_id = p.id AND a.state <> 'ENDED'
WHERE p.status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
    AND p.created_at < now() - make_interval(secs => CASE
        WHEN p.status = 'REQUIRES_ACTION' THEN %(action_s)s
        WHEN p.status = 'PROCESSING' AND a.state = 'OPEN' AND a.psp_reference IS NOT NULL THEN %(bank_s)s
        ELSE %(open_s)s END)
"""

# Of the orders `ids`, those whose payment is being decided by a bank, for less than `bank_s`.
AT_THE_BANK: Final = """
SELECT p.order_id FROM payments p JOIN attempts a ON a.payment_id = p.id AND a.state = 'OPEN'
WHERE p.order_id = ANY(%(ids)s) AND p.status = 'PROCESSING' AND a.psp_reference IS NOT NULL
    AND p.created_at >= now() - make_interval(secs => %(bank_s)s)
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
    """

    reference: str
    payment_id: str
    order_id: str
    currency: str
    taken_amount: Fraction
    money: Money
    status: str


class NoListing(Exception):
    """The PSP does not give its list."""


class PspListing(Protocol):
    """What a PSP has taken and holds, by its own list."""

    def pages(self) -> AsyncIterator[list[PspCharge]]:
        """Page through all payments that the PSP knows of.

        Raises:
            NoListing: there is no list to be had now.
        """
