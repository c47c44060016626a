"""Rows of weeks that nobody has waited for, as the services would have left them.

A few statements a table make them, ten thousand orders at a time, so half a million are a matter of minutes.
Ids have the time in them that they say, so that partitions and pages hold what they would hold; all contexts
say the same of an order, so that the proof agrees; what retention lets go of by then is not made. For
databases of one's own only: it writes as the owner of the tables, past all that the services promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg

from ledger_svc.domain.accounts import PLATFORM

# One order in so many has failed.
FAILED_EACH: Final = 50

# Minor units of each order, tax and the platform's fee of it; what `_ORDERS` has as lines.
TOTAL_AMOUNT: Final = 5_500
_TAX_AMOUNT: Final = 877
_FEE_AMOUNT: Final = 138

# What stays at most, as the settings of the contexts have it by default.
_INBOX_DAYS: Final = 8
_KEY_DAYS: Final = 1

# A commit's worth of orders, and of journals: the books are sealed transaction by transaction, so a large one
# would be a stretch that nobody can prove piece by piece.
_ORDERS_AT_ONCE: Final = 10_000
_JOURNALS_AT_ONCE: Final = 250
_SEALED_AT_ONCE: Final = 1_000
# Somebody else's transaction may hold the horizon of the books back for a while.
_SEAL_AGAIN_S: Final = 0.1
_SEAL_DEADLINE_S: Final = 300.0

# Of each made order: its number, its time, what its ids have behind their prefix, and how it went.
_MADE: Final = """
WITH made AS MATERIALIZED (
    SELECT n, at, id_at('', at) || lpad(upper(to_hex(n)), 16, '0') AS rest,
        n %% %(failed_each)s = 0 AS failed,
        n %% nullif(%(waiting_each)s, 0) IS NOT DISTINCT FROM 1 AS waiting,
        (%(merchants)s::text[])[1 + n %% cardinality(%(merchants)s::text[])] AS merchant,
        'cus_' || n %% %(customers)s AS customer,
        '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01' AS traceparent
    FROM generate_series(%(begin)s::bigint, %(end)s::bigint - 1) AS n,
    LATERAL (
        SELECT to_timestamp((%(since_ms)s + (n - %(first)s) * %(length_ms)s / %(orders)s) / 1000.0) AS at
    )
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
SELECT 'ord' || rest, merchant, customer,
    CASE WHEN waiting THEN 'REQUIRES_ACTION' WHEN failed THEN 'FAILED' ELSE 'COMPLETED' END,
    CASE WHEN failed AND NOT waiting THEN 'card_declined' ELSE '' END,
    '[["mug", "Mug", 1, 1500, 239], ["tee-m", "T-shirt M", 2, 2000, 638]]', 'EUR', %(total)s, %(tax)s,
    'pm_card_visa', 'buyer' || n || '@customers.florin.test', '{"country": "DE"}', '{}',
    'pay' || rest, CASE WHEN waiting OR failed THEN '' ELSE 'jrn' || rest END,
    NOT (waiting OR failed), CASE WHEN waiting THEN 'redirect_to_url' ELSE '' END,
    'cor' || rest, traceparent, 3, at,
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

_KEYS: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO idempotency_keys (principal, method, key, fingerprint, response, created_at, expires_at)
SELECT 'buyer/' || customer, '/florin.order.v1.OrderService/PlaceOrder', 'key' || rest,
    sha256(convert_to(n::text, 'UTF8')), convert_to(repeat(md5(n::text), 12), 'UTF8'), at,
    at + interval '1 day'
FROM made WHERE at > %(key_since)s
"""
)

_RESERVATIONS: Final[LiteralString] = (
    _MADE
    + """, held AS (
    INSERT INTO reservations (id, order_id, merchant_id, status, version, expires_at, created_at, updated_at)
    SELECT 'rsv' || rest, 'ord' || rest, merchant,
        CASE WHEN waiting THEN 'HELD' WHEN failed THEN 'RELEASED' ELSE 'SOLD' END, 2,
        at + interval '15 min', at, at
    FROM made
)
INSERT INTO reservation_lines (reservation_id, sku, quantity)
SELECT 'rsv' || rest, sku, quantity
FROM made CROSS JOIN (VALUES ('mug', 1), ('tee-m', 2)) AS line (sku, quantity)
"""
)

# What was sold had come in before; what is held is there.
_STOCK: Final[LiteralString] = (
    _MADE
    + """, moved AS (
    SELECT merchant, sku, max(at) AS at, coalesce(sum(quantity) FILTER (WHERE waiting), 0) AS held,
        coalesce(sum(quantity) FILTER (WHERE NOT waiting AND NOT failed), 0) AS sold
    FROM made CROSS JOIN (VALUES ('mug', 1), ('tee-m', 2)) AS line (sku, quantity) GROUP BY merchant, sku
), products AS (
    INSERT INTO products (merchant_id, sku, name, unit_amount, currency, on_hand, reserved, sold, received)
    SELECT merchant, sku, sku, CASE sku WHEN 'mug' THEN 1500 ELSE 2000 END, 'EUR', held, held, sold,
        held + sold
    FROM moved
    ON CONFLICT (merchant_id, sku) DO UPDATE SET
        on_hand = products.on_hand + excluded.on_hand, reserved = products.reserved + excluded.reserved,
        sold = products.sold + excluded.sold, received = products.received + excluded.received
)
INSERT INTO stock_adjustments (id, merchant_id, sku, delta, reason, created_at)
SELECT 'adj' || id_at('', at) || '_' || sku || '_' || merchant, merchant, sku, held + sold, 'delivery', at
FROM moved WHERE held + sold > 0
"""
)

_PAYMENTS: Final[LiteralString] = (
    _MADE
    + """, tried AS (
    INSERT INTO attempts (payment_id, kind, number, operation, amount, psp, state, psp_reference, reason,
        next_action_type, look_up_at, started_at)
    SELECT 'pay' || rest, 'CHARGE', 1, 1, %(total)s, 'stripe',
        CASE WHEN waiting THEN 'OPEN' WHEN failed THEN 'ENDED' ELSE 'DONE' END, 'pi' || rest,
        CASE WHEN failed AND NOT waiting THEN 'card_declined' ELSE '' END,
        CASE WHEN waiting THEN 'redirect_to_url' ELSE '' END,
        CASE WHEN waiting THEN at + interval '1 hour' END, at
    FROM made
)
INSERT INTO payments (id, order_id, merchant_id, customer_id, status, amount, amount_captured, fee_amount,
    tax_amount, currency, payment_method_id, correlation_id, traceparent, version, created_at, updated_at)
SELECT 'pay' || rest, 'ord' || rest, merchant, customer,
    CASE WHEN waiting THEN 'REQUIRES_ACTION' WHEN failed THEN 'FAILED' ELSE 'CAPTURED' END,
    %(total)s, CASE WHEN waiting OR failed THEN 0 ELSE %(total)s END, %(fee)s, %(tax)s, 'EUR', 'pm_card_visa',
    'cor' || rest, traceparent, 3, at, at + interval '200 ms'
FROM made
"""
)

# As large as the PSP's are; nobody reads them again.
_WEBHOOKS: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO webhooks (event_id, psp, type, payment_id, payload, received_at)
SELECT 'evt_' || left(md5(n::text), 24), 'stripe',
    CASE WHEN failed THEN 'payment_intent.canceled' ELSE 'payment_intent.succeeded' END, 'pay' || rest,
    convert_to(format('{"id": "evt_%%s", "data": {"object": {"id": "pi%%s", "description": "%%s"}}}',
        left(md5(n::text), 24), rest, repeat(md5(n::text), 54)), 'UTF8'), at
FROM made WHERE NOT waiting
"""
)

_DELIVERIES: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent,
    status, attempts, last_error, requested_at, due_at, sent_at)
SELECT 'dlv' || rest, 'ord' || rest, 'email',
    CASE WHEN failed THEN 'order_failed' ELSE 'order_completed' END, 'buyer' || n || '@customers.florin.test',
    jsonb_build_object('merchant_id', merchant, 'amount', %(total)s::int, 'tax_amount', %(tax)s::int,
        'currency', 'EUR', 'payment_id', 'pay' || rest, 'reason', '', 'lines',
        '[{"sku": "mug", "quantity": 1}, {"sku": "tee-m", "quantity": 2}]'::jsonb),
    'cor' || rest, traceparent, 'SENT', 1, '', at, at, at
FROM made WHERE NOT waiting
"""
)

_LINES: Final = """, line AS MATERIALIZED (
    SELECT rest, at, base, lane_code(base, lanes, 'jrn' || rest) AS code, kind, amount
    FROM made CROSS JOIN LATERAL (VALUES
        ('card', customer, -%(total)s::bigint),
        ('merchant', merchant, %(total)s::bigint - %(fee)s - %(tax)s),
        ('platform_revenue', %(platform)s, %(fee)s),
        ('tax_payable', %(platform)s, %(tax)s),
        ('psp_clearing', 'stripe', -%(total)s::bigint),
        ('card_clearing', 'stripe', %(total)s)
    ) AS line (kind, owner, amount) JOIN chart USING (kind),
    LATERAL (SELECT kind || ':' || owner || ':EUR' AS base)
    WHERE NOT (waiting OR failed)
)
"""

_ACCOUNTS: Final[LiteralString] = (
    _MADE
    + _LINES
    + """
INSERT INTO accounts (code, base, kind, currency)
SELECT DISTINCT code, base, kind, 'EUR' FROM line ON CONFLICT (code) DO NOTHING
"""
)

_BOOKS: Final[LiteralString] = (
    _MADE
    + _LINES
    + """, posted AS (
    INSERT INTO journals (id, business_key, kind, reference, order_id, payment_id, effective_at, recorded_at)
    SELECT 'jrn' || rest, 'evt' || rest, 'payment.captured', 'pay' || rest, 'ord' || rest, 'pay' || rest,
        at, at
    FROM made WHERE NOT (waiting OR failed)
), moved AS (
    INSERT INTO balance_headers (account_id, posted)
    SELECT accounts.id, sum(amount) FROM line JOIN chart USING (kind) JOIN accounts USING (code)
    WHERE constrained GROUP BY accounts.id
    ON CONFLICT (account_id) DO UPDATE SET
        posted = balance_headers.posted + excluded.posted, version = balance_headers.version + 1
)
INSERT INTO entries (account_id, journal_id, amount)
SELECT accounts.id, 'jrn' || rest, amount FROM line JOIN accounts USING (code)
"""
)
_IS_UNSEALED: Final = """
SELECT EXISTS (SELECT FROM journals WHERE txid >= coalesce(
    (SELECT to_txid FROM seals WHERE shard = 'journals' ORDER BY from_txid DESC LIMIT 1), '0'))
"""

_INBOX: Final[LiteralString] = (
    _MADE
    + """
INSERT INTO inbox (consumer, event_id, received_at)
SELECT current_database(), 'evt' || rest || place, at
FROM made CROSS JOIN generate_series(1, %(events)s) AS place WHERE at > %(inbox_since)s
"""
)


@dataclass(frozen=True, slots=True)
class _Context:
    """What is made in one service's database.

    Attributes:
        events: how many an order brings it.
        at_once: orders a commit.
    """

    events: int
    statements: tuple[LiteralString, ...]
    at_once: int = _ORDERS_AT_ONCE


# By a table that only this service has.
_MADE_WITH: Final[Mapping[str, _Context]] = {
    "orders": _Context(4, (_ORDERS, _TIMELINE, _KEYS)),
    "reservations": _Context(2, (_RESERVATIONS, _STOCK)),
    "payments": _Context(1, (_PAYMENTS, _WEBHOOKS)),
    "journals": _Context(1, (_ACCOUNTS, _BOOKS), _JOURNALS_AT_ONCE),
    "deliveries": _Context(1, (_DELIVERIES,)),
}


@dataclass(frozen=True, slots=True)
class Weeks:
    """Orders that are evenly spread over a time.

    Attributes:
        first: number of the first; two calls with numbers of their own add up.
        merchants: they take turns.
        waiting_each: one order in so many still waits for its buyer; 0: none.
    """

    orders: int
    since: datetime
    until: datetime
    first: int = 1
    merchants: tuple[str, ...] = field(default=tuple(f"mer_{number}" for number in range(10)))
    waiting_each: int = 10_000

    @property
    def since_ms(self) -> int:
        """Unix milliseconds of the first."""
        return round(self.since.timestamp() * 1000)

    @property
    def length_ms(self) -> int:
        """Milliseconds from the first to the end."""
        return round(self.until.timestamp() * 1000) - self.since_ms

    def pages(self, at_once: int) -> Iterator[tuple[int, int]]:
        """Yield the numbers of all, some at a time: of the first, and of the first that is none of them."""
        for begin in range(self.first, self.first + self.orders, at_once):
            yield begin, min(begin + at_once, self.first + self.orders)


def make(owner_url: str, weeks: Weeks, *, on_made: Callable[[int], None] = lambda orders: None) -> None:
    """Make what so many orders have left in a service's database, and its partitions.

    Args:
        owner_url: of the role that owns the tables, or of a superuser.
        on_made: told of each commit, how many orders it had.
    """
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "first": weeks.first,
        "orders": weeks.orders,
        "since": weeks.since,
        "until": weeks.until,
        "since_ms": weeks.since_ms,
        "length_ms": weeks.length_ms,
        "merchants": list(weeks.merchants),
        "customers": weeks.orders // 5 + 1,
        "failed_each": FAILED_EACH,
        "waiting_each": weeks.waiting_each,
        "total": TOTAL_AMOUNT,
        "tax": _TAX_AMOUNT,
        "fee": _FEE_AMOUNT,
        "platform": PLATFORM,
        "inbox_since": now - timedelta(days=_INBOX_DAYS),
        "key_since": now - timedelta(days=_KEY_DAYS),
    }
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            "SELECT set_config('role', tableowner, false) FROM pg_tables WHERE tablename = 'retention'"
        )
        # What is lost with the machine is made again.
        connection.execute("SET synchronous_commit = off")
        # What a statement adds is little beside what is there, which the planner is not told before the end.
        connection.execute("SET enable_hashjoin = off")
        connection.execute("SET enable_mergejoin = off")
        connection.execute(_PARTITIONS, values)
        for table, context in _MADE_WITH.items():
            if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
                continue
            for begin, end in weeks.pages(context.at_once):
                values |= {"begin": begin, "end": end, "events": context.events}
                with connection.transaction():
                    for statement in (*context.statements, _INBOX):
                        connection.execute(statement, values)
                on_made(end - begin)
            if table == "journals":
                _seal(connection)
        connection.execute("RESET ROLE")
        connection.execute("ANALYZE")


def _seal(connection: psycopg.Connection[Any]) -> None:
    """Close the books in many stretches, as the service does.

    Raises:
        TimeoutError: somebody keeps a transaction open.
    """
    deadline = time.monotonic() + _SEAL_DEADLINE_S
    while connection.execute(_IS_UNSEALED).fetchone() == (True,):
        if connection.execute("SELECT close_books(%s)", (_SEALED_AT_ONCE,)).fetchone() == (0,):
            if time.monotonic() > deadline:
                raise TimeoutError("the books cannot be sealed: a transaction is open for too long")
            time.sleep(_SEAL_AGAIN_S)
