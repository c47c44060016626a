"""What the proof asks the payments' database besides `payment_svc.proof`, on the tables as they are today.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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
SELECT order_id, id, merchant_id, customer_id, status, psp, coalesce(psp_reference, ''), currency, amount,
    amount_captured, amount_refunded, fee_amount, tax_amount,
    extract(epoch FROM now() - created_at)::float8, updated_at > now() - make_interval(secs => %(recent_s)s)
FROM payments
"""
PAYMENTS_OF_ORDERS: Final = _PAYMENTS + "WHERE order_id = ANY(%(ids)s)"
PAYMENTS_BY_ID: Final = _PAYMENTS + "WHERE id = ANY(%(ids)s)"

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
