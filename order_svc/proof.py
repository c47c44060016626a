"""What an auditor asks the orders' database: what is wrong in it, and facts to compare others with.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """A row of `ORDERS_AFTER` and of `ORDERS_BY_ID`; amounts in minor units of `currency`.

    Attributes:
        lines: sku, name, quantity, unit amount and tax of each.
        ended_s_ago: None while it is open.
        is_old: none that was placed before it is to come any more.
    """

    id: str
    merchant_id: str
    customer_id: str
    status: str
    currency: str
    total_amount: int
    tax_amount: int
    lines: list[tuple[str, str, int, int, int]]
    payment_id: str
    journal_id: str
    ended_s_ago: float | None
    is_old: bool


_ORDERS: Final = """
SELECT id, merchant_id, customer_id, status, currency, total_amount, tax_amount, lines, payment_id,
    journal_id, extract(epoch FROM now() - ended_at)::float8,
    created_at < now() - make_interval(secs => %(young_s)s)
FROM orders
"""
# A page of the orders after `after`, by their ids, which sort by time; and those with the ids `ids`.
ORDERS_AFTER: Final = _ORDERS + "WHERE id > %(after)s ORDER BY id LIMIT %(page)s"
ORDERS_BY_ID: Final = _ORDERS + "WHERE id = ANY(%(ids)s)"

# Of the orders `ids`, those that exist.
KNOWN_ORDERS: Final = "SELECT id FROM orders WHERE id = ANY(%(ids)s)"

# Of the orders `ids`, those that still wait for something, or did until `ended_s` ago.
WAITING_ORDERS: Final = """
SELECT id FROM orders
WHERE id = ANY(%(ids)s) AND (ended_at IS NULL OR ended_at > now() - make_interval(secs => %(ended_s)s))
"""

# Orders that have stood still for longer than `open_s`, or `action_s` while they wait for a person.
# By their last move: an order only goes forward, so it cannot put its limit off for ever.
STUCK_ORDERS: Final = """
SELECT id, status, extract(epoch FROM now() - updated_at)::int FROM orders
WHERE ended_at IS NULL AND updated_at < now() - make_interval(secs =>
    CASE WHEN status IN ('REQUIRES_ACTION', 'IN_REVIEW') THEN %(action_s)s ELSE %(open_s)s END)
"""

OPEN_ORDERS_COUNT: Final = "SELECT count(*) FROM orders WHERE ended_at IS NULL"

# Of the orders `ids`, those that have ended.
ENDED_AMONG: Final = "SELECT id FROM orders WHERE id = ANY(%(ids)s) AND ended_at IS NOT NULL"

# How the orders `ids` went: their status and its reason, and when they were accepted and ended.
COURSES: Final = """
SELECT id, status, reason, extract(epoch FROM created_at)::float8, extract(epoch FROM ended_at)::float8
FROM orders WHERE id = ANY(%(ids)s)
"""
