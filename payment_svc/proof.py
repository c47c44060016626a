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
class Payment:
    """A payment beside its order and its charge; amounts in minor units of `currency`."""

    order_id: str
    id: str
    merchant_id: str
    customer_id: str
    status: str
    psp: str
    psp_reference: str
    currency: str
    amount: int
    amount_captured: int
    amount_refunded: int
    fee_amount: int
    tax_amount: int
    age_s: float
    # Moved so lately that what the PSP knows may still be on its way.
    is_recent: bool


_PAYMENTS: Final = """
SELECT p.order_id, p.id, p.merchant_id, p.customer_id, p.status, coalesce(a.psp, ''),
    coalesce(a.psp_reference, ''), p.currency, p.amount, p.amount_captured, p.amount_refunded, p.fee_amount,
    p.tax_amount, extract(epoch FROM now() - p.created_at)::float8,
    p.updated_at > now() - make_interval(secs => %(recent_s)s)
FROM payments p LEFT JOIN attempts a ON a.payment_id = p.id AND a.kind = 'CHARGE' AND a.state <> 'ENDED'
"""
PAYMENTS_OF_ORDERS: Final = _PAYMENTS + "WHERE p.order_id = ANY(%(ids)s)"
PAYMENTS_BY_ID: Final = _PAYMENTS + "WHERE p.id = ANY(%(ids)s)"

# Payments after `after`, a page of them; and whether each is old enough that none before it is to come.
CAPTURES_AFTER: Final = """
SELECT id, order_id, amount_captured, created_at < now() - make_interval(secs => %(young_s)s)
FROM payments WHERE id > %(after)s ORDER BY id LIMIT %(page)s
"""

# How many there are after `after`, how many of these are so old that none before them is to come, and the
# last of those.
SETTLED_TO: Final = """
SELECT count(*), count(*) FILTER (WHERE is_old), max(id) FILTER (WHERE is_old)
FROM (SELECT id, created_at < now() - interval '60 s' AS is_old FROM payments WHERE id > %(after)s) AS payment
"""

# Webhooks that say of a payment what we cannot believe. They prove nothing by themselves: a PSP may be wrong,
# or somebody else have its secret. Whether money moved is in its list, and that is compared.
SET_ASIDE: Final = """
SELECT count(*) FROM webhooks WHERE outcome = 'unknown_payment' OR starts_with(outcome, 'contradicts')
"""

# Of payments after `after`, payments that break refunded <= captured <= authorised, whose parts are more
# than the whole, or of which another amount is captured than their charges have taken.
BROKEN_CAPS: Final = """
SELECT id, amount, amount_captured, amount_refunded, fee_amount + tax_amount FROM payments p
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS taken FROM attempts
        WHERE payment_id = p.id AND kind = 'CHARGE' AND state = 'DONE') AS a
WHERE id > %(after)s AND NOT (0 <= amount_refunded
    AND amount_refunded <= amount_captured AND amount_captured <= amount
    AND fee_amount >= 0 AND tax_amount >= 0 AND fee_amount + tax_amount <= amount
    AND amount_captured = taken)
"""

# Of payments after `after`, or among `ids`, those that are undecided for longer than `open_s`, `action_s`
# while the buyer has to do something, or `bank_s` while a bank decides. By their birth: look-ups without an
# answer turn PROCESSING into UNKNOWN and back, as if it were new each time. What is PROCESSING with a
# reference is so by the PSP's own word, unless it is being closed. And all that have
# failed and that the PSP was asked in vain to cancel, for minutes: their buyers could still pay them.
STUCK_PAYMENTS: Final = """
SELECT p.id, p.status, extract(epoch FROM now() - p.created_at)::int
FROM payments p LEFT JOIN attempts a ON a.payment_id = p.id AND a.state <> 'ENDED'
WHERE (p.id > %(after)s OR p.id = ANY(%(ids)s))
    AND p.status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
    AND p.created_at < now() - make_interval(secs => CASE
        WHEN p.status = 'REQUIRES_ACTION' THEN %(action_s)s
        WHEN p.status = 'PROCESSING' AND a.state = 'OPEN' AND a.psp_reference IS NOT NULL THEN %(bank_s)s
        ELSE %(open_s)s END)
UNION ALL
SELECT p.id, 'FAILED and not cancelled at its PSP', extract(epoch FROM now() - p.created_at)::int
FROM attempts a JOIN payments p ON p.id = a.payment_id
WHERE a.look_up_at IS NOT NULL AND a.state = 'CLOSING' AND a.look_ups >= 8 AND p.status = 'FAILED'
"""
# Of the same, the last that is so old that none before it is to come, and those up to it that are
# undecided. What is decided stays so, which is why nobody has to look for it again, and no index has to
# know it.
UNDECIDED_REACHED: Final = """
SELECT max(id), coalesce(array_agg(id) FILTER (
    WHERE status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION', 'AUTHORIZED')), '{}')
FROM payments WHERE (id > %(after)s OR id = ANY(%(ids)s))
    AND created_at < now() - make_interval(secs => %(young_s)s)
"""


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
