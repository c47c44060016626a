"""Nothing waits for ever: what is open is young, and every dead letter has been looked at."""

from __future__ import annotations

from typing import Final

from proof.audit import DATABASES, ORDERS, PAYMENTS, STOCK, Audit
from proof.verdict import Finding

# Longer than the PSP's time-out, its look-up and a few resends of an event; no healthy checkout takes it.
_OPEN_LIMIT_S: Final = 60
# A buyer may look for the bank's app for a while.
_ACTION_LIMIT_S: Final = 3600
# A bank debit is decided by the buyer's bank, which may take as long for SEPA's.
_BANK_LIMIT_S: Final = 14 * 86_400
# An event that frees stock is sent again after 5, 10 and 20 s if its receiver was down.
_HELD_LIMIT_S: Final = 30

# By their last move: an order only goes forward, so it cannot put its limit off for ever.
_OPEN_ORDERS: Final = """
SELECT id, status, extract(epoch FROM now() - updated_at)::int FROM orders
WHERE ended_at IS NULL AND updated_at < now() - make_interval(secs =>
    CASE WHEN status IN ('REQUIRES_ACTION', 'IN_REVIEW') THEN %s ELSE %s END)
"""
# By their birth: look-ups without an answer turn PROCESSING into UNKNOWN and back, as if it were new each
# time. What is PROCESSING with a reference is so by the PSP's own word.
_OPEN_PAYMENTS: Final = """
SELECT id, status, extract(epoch FROM now() - created_at)::int FROM payments
WHERE status IN ('INITIATED', 'PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION')
    AND created_at < now() - make_interval(secs => CASE
        WHEN status = 'REQUIRES_ACTION' THEN %s
        WHEN status = 'PROCESSING' AND psp_reference IS NOT NULL THEN %s
        ELSE %s END)
"""
_AT_THE_BANK: Final = """
SELECT order_id FROM payments
WHERE order_id = ANY(%s) AND status = 'PROCESSING' AND psp_reference IS NOT NULL
    AND created_at >= now() - make_interval(secs => %s)
"""
_HELD: Final = """
SELECT order_id FROM reservations WHERE status = 'HELD' AND created_at < now() - make_interval(secs => %s)
"""
# Orders that still wait for something; the stock of all others must be free or sold.
_WAITING: Final = """
SELECT id FROM orders
WHERE id = ANY(%s) AND (ended_at IS NULL OR ended_at > now() - make_interval(secs => %s))
"""
_UNSENT: Final = """
SELECT event_id, type, sends, extract(epoch FROM now() - created_at)::int FROM outbox
WHERE created_at < now() - make_interval(secs => %s)
"""
_DEAD: Final = (
    "SELECT id, consumer, type, aggregate_id, error FROM dead_letters WHERE acknowledged_at IS NULL"
)
_COUNT_OPEN: Final = "SELECT count(*) FROM orders WHERE ended_at IS NULL"
_COUNT_OUTBOX: Final = "SELECT count(*) FROM outbox"
_COUNT_DEAD: Final = "SELECT count(*) FROM dead_letters"

# As much of an error as fits on a line.
_ERROR_LENGTH: Final = 160


async def nothing_stuck(audit: Audit) -> Finding:
    """No open order, payment, reservation or outbox row is older than its limit."""
    problems: dict[str, str] = {}
    old = await audit.rows(ORDERS, _OPEN_ORDERS, (_ACTION_LIMIT_S, _OPEN_LIMIT_S))
    at_the_bank = await audit.rows(PAYMENTS, _AT_THE_BANK, ([row[0] for row in old], _BANK_LIMIT_S))
    excused = {row[0] for row in at_the_bank}
    for order_id, status, age_s in old:
        if order_id not in excused:
            problems[order_id] = f"{order_id} is {status} for {age_s} s"
    for payment_id, status, age_s in await audit.rows(
        PAYMENTS, _OPEN_PAYMENTS, (_ACTION_LIMIT_S, _BANK_LIMIT_S, _OPEN_LIMIT_S)
    ):
        problems[payment_id] = f"{payment_id} is {status}, {age_s} s after it began"
    held = [order_id for (order_id,) in await audit.rows(STOCK, _HELD, (_HELD_LIMIT_S,))]
    waiting = {row[0] for row in await audit.rows(ORDERS, _WAITING, (held, _HELD_LIMIT_S))}
    for order_id in held:
        if order_id not in waiting:
            problems[f"held {order_id}"] = (
                f"stock is HELD for {order_id}, which does not wait for it any more"
            )
    unsent = 0
    for database in DATABASES:
        [(count,)] = await audit.rows(database, _COUNT_OUTBOX)
        unsent += count
        for event_id, kind, sends, age_s in await audit.rows(database, _UNSENT, (_OPEN_LIMIT_S,)):
            problems[event_id] = f"{kind} {event_id} is unconfirmed after {age_s} s and {sends} sends"
    [(open_orders,)] = await audit.rows(ORDERS, _COUNT_OPEN)
    return Finding(
        f"{open_orders:,} open orders, {len(held):,} old holds, {unsent:,} unconfirmed events", problems
    )


async def dead_letters(audit: Audit) -> Finding:
    """No event that could not be handled is waiting for a person."""
    problems: dict[str, str] = {}
    total = 0
    for database in DATABASES:
        [(count,)] = await audit.rows(database, _COUNT_DEAD)
        total += count
        for letter, consumer, kind, aggregate, error in await audit.rows(database, _DEAD):
            problems[letter] = (
                f"{letter}: {consumer} gave up on {kind} of {aggregate}: {error[:_ERROR_LENGTH]}"
            )
    return Finding(f"{total:,} dead letters", problems)
