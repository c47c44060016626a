"""Rows of weeks that nobody has waited for, as the services would have left them.

One statement a table makes all of them, so a million orders are a matter of minutes. Ids have the time in
them that they say, so that partitions and pages hold what they would hold. For databases of one's own only:
it writes as the owner of the tables, past everything that the services promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg

# One order in so many has failed, and one in so many still waits for its buyer.
_FAILED_EACH: Final = 50
_WAITING_EACH: Final = 10_000

# Of each made order: its number, its time, and what its ids have behind their prefix.
_MADE: Final = """
WITH made AS MATERIALIZED (
    SELECT n, at, id_at('', at) || lpad(upper(to_hex(n)), 16, '0') AS rest,
        n %% %(failed_each)s = 0 AS failed, n %% %(waiting_each)s = 1 AS waiting
    FROM generate_series(%(first)s, %(first)s + %(orders)s - 1) AS n,
    LATERAL (SELECT %(since)s + (n - %(first)s) * (%(until)s - %(since)s) / %(orders)s AS at)
)
"""

_PARTITIONS: Final = """
SELECT make_partition(name, at, at + length) FROM (
    SELECT name, make_interval(days => partition_days) AS length FROM retention WHERE prefix IS NOT NULL
) AS kept, LATERAL generate_series(
    date_bin(length, %(since)s, timestamptz 'epoch'), %(until)s, length) AS at
"""

_ORDERS: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO orders (id, merchant_id, customer_id, status, reason, lines, currency, total_amount, tax_amount,
    payment_method_id, receipt_email, shipping_address, attribution, payment_id, journal_id, stock_sold,
    next_action_type, correlation_id, traceparent, version, created_at, updated_at, ended_at)
SELECT 'ord' || rest, 'mer_' || n %% %(merchants)s, 'cus_' || n %% (%(orders)s / 5 + 1),
    CASE WHEN waiting THEN 'REQUIRES_ACTION' WHEN failed THEN 'FAILED' ELSE 'COMPLETED' END,
    CASE WHEN failed AND NOT waiting THEN 'card_declined' ELSE '' END,
    '[["mug", "Mug", 1, 1500, 239], ["tee-m", "T-shirt M", 2, 4000, 638]]', 'EUR', 5500, 877,
    'pm_card_visa', 'buyer' || n || '@customers.florin.test', '{"country": "DE"}', '{}',
    'pay' || rest, CASE WHEN waiting OR failed THEN '' ELSE 'jrn' || rest END,
    NOT (waiting OR failed), CASE WHEN waiting THEN 'redirect_to_url' ELSE '' END,
    'cor' || rest, '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01', 3, at,
    at + interval '400 ms', CASE WHEN NOT waiting THEN at + interval '400 ms' END
FROM made
"""
)

_TIMELINE: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO timeline (order_id, event, at, service, step, detail, trace_id)
SELECT 'ord' || rest, CASE event WHEN 'evt' THEN 'evt' || rest || place ELSE event END,
    at + place * interval '80 ms', service, step,
    replace(replace(detail, '%%r', 'rsv' || rest), '%%p', 'pay' || rest),
    md5(n::text)::uuid
FROM made CROSS JOIN (VALUES
    (0, '', 'order_svc', 'order.placed', '2 line(s), 5500 EUR in minor units'),
    (1, 'evt', 'inventory_svc', 'stock.reserved', 'all lines held as %%r'),
    (2, 'evt', 'payment_svc', 'payment.captured', '%%p took 5500 EUR (pi_3MtwBwLkdIwHu7ix28a3tqPa)'),
    (3, 'evt', 'ledger_svc', 'journal.posted', 'jrn_01JD8Z5X0000000000000000000 for %%p'),
    (4, 'evt', 'inventory_svc', 'stock.sold', '%%r sold'),
    (5, ':3', 'order_svc', 'order.completed', 'paid, sold and accounted')
) AS step (place, event, service, step, detail)
"""
)

_RESERVATIONS: Final[LiteralString] = (
    _MADE
    + """, held AS (
    INSERT INTO reservations (id, order_id, merchant_id, status, version, expires_at, created_at, updated_at)
    SELECT 'rsv' || rest, 'ord' || rest, 'mer_' || n %% %(merchants)s,
        CASE WHEN waiting THEN 'HELD' WHEN failed THEN 'RELEASED' ELSE 'SOLD' END, 2,
        at + interval '15 min', at, at
    FROM made
)
INSERT INTO reservation_lines (reservation_id, sku, quantity)
SELECT 'rsv' || rest, sku, 1 FROM made CROSS JOIN (VALUES ('mug'), ('tee-m')) AS line (sku)
"""
)

_DELIVERIES: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent,
    status, attempts, last_error, requested_at, due_at, sent_at)
SELECT 'dlv' || rest, 'ord' || rest, 'email',
    CASE WHEN failed THEN 'order_failed' ELSE 'order_completed' END, 'buyer' || n || '@customers.florin.test',
    jsonb_build_object('merchant_id', 'mer_' || n %% %(merchants)s, 'amount', 5500, 'tax_amount', 877,
        'currency', 'EUR', 'payment_id', 'pay' || rest, 'reason', '', 'lines',
        '[{"sku": "mug", "quantity": 1}, {"sku": "tee-m", "quantity": 2}]'::jsonb),
    'cor' || rest, '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01', 'SENT', 1, '',
    at, at, at
FROM made WHERE NOT waiting
"""
)

# Accounts without lanes: as many as there are owners.
_ACCOUNTS: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO accounts (code, base, kind, currency)
SELECT code, code, split_part(code, ':', 1), 'EUR' FROM (
    SELECT DISTINCT unnest(ARRAY['card:cus_' || n %% (%(orders)s / 5 + 1) || ':EUR',
        'merchant:mer_' || n %% %(merchants)s || ':EUR',
        'psp_clearing:stripe:EUR', 'card_clearing:stripe:EUR'])
    FROM made
) AS named (code)
ON CONFLICT (code) DO NOTHING
"""
)

_BOOKS: Final[LiteralString] = (
    _MADE
    + """, posted AS (
    INSERT INTO journals (id, business_key, kind, reference, order_id, payment_id, effective_at, recorded_at)
    SELECT 'jrn' || rest, 'evt' || rest, 'payment.captured', 'pay' || rest, 'ord' || rest, 'pay' || rest,
        at, at
    FROM made WHERE NOT (waiting OR failed)
)
INSERT INTO entries (account_id, journal_id, amount)
SELECT accounts.id, 'jrn' || rest, amount
FROM made, LATERAL (VALUES
    ('card:cus_' || n %% (%(orders)s / 5 + 1) || ':EUR', -5500),
    ('merchant:mer_' || n %% %(merchants)s || ':EUR', 5500),
    ('psp_clearing:stripe:EUR', -5500), ('card_clearing:stripe:EUR', 5500)
) AS line (code, amount) JOIN accounts USING (code)
WHERE NOT (waiting OR failed)
"""
)

_INBOX: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO inbox (consumer, event_id, received_at)
SELECT current_database(), 'evt' || rest || place, at
FROM made CROSS JOIN generate_series(1, %(events)s) AS place
"""
)

# By a table that only one service has: what is made in its database, and how many events an order brings it.
_MADE_WITH: Final[Mapping[str, tuple[int, tuple[LiteralString, ...]]]] = {
    "orders": (4, (_ORDERS, _TIMELINE)),
    "reservations": (2, (_RESERVATIONS,)),
    "journals": (1, (_ACCOUNTS, _BOOKS)),
    "deliveries": (1, (_DELIVERIES,)),
}


@dataclass(frozen=True, slots=True)
class Weeks:
    """Orders that are evenly spread over a time.

    Attributes:
        first: number of the first; two calls with numbers of their own add up.
        merchants: how many share them.
    """

    orders: int
    since: datetime
    until: datetime
    first: int = 1
    merchants: int = 10


def make(owner_url: str, weeks: Weeks) -> None:
    """Make what so many orders have left in a service's database, and its partitions.

    Args:
        owner_url: of the role that owns the tables, or of a superuser.
    """
    values: dict[str, Any] = {
        "first": weeks.first,
        "orders": weeks.orders,
        "since": weeks.since,
        "until": weeks.until,
        "merchants": weeks.merchants,
        "failed_each": _FAILED_EACH,
        "waiting_each": _WAITING_EACH,
    }
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "SELECT set_config('role', tableowner, false) FROM pg_tables WHERE tablename = 'retention'"
        )
        connection.execute(_PARTITIONS, values)
        for table, (events, statements) in _MADE_WITH.items():
            if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,):
                for statement in (*statements, _INBOX):
                    connection.execute(statement, values | {"events": events})
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
