"""What an auditor asks the orders' database: what is wrong in it, and facts to compare others with.

Values are given by name; times are in seconds of the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EndedOrder:
    """A row of `ENDED_ORDERS`; the amount in minor units of `currency`."""

    id: str
    status: str
    currency: str
    total_amount: int
    payment_id: str
    journal_id: str
    ended_s_ago: float


# Orders that ended at least `catch_up_s` ago.
ENDED_ORDERS: Final = """
SELECT id, status, currency, total_amount, payment_id, journal_id,
    extract(epoch FROM now() - ended_at)::float8
FROM orders WHERE ended_at < now() - make_interval(secs => %(catch_up_s)s)
"""

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
