"""Nothing waits for ever: what is open is young, and every dead letter has been looked at."""

from __future__ import annotations

from typing import Final

from inventory_svc.proof import OLD_HOLDS
from kit.messaging.proof import LETTERS_COUNT, OPEN_LETTERS, STUCK_EVENTS, UNCONFIRMED_COUNT
from order_svc.proof import OPEN_ORDERS_COUNT, STUCK_ORDERS, WAITING_ORDERS
from payment_svc.proof import AT_THE_BANK, STUCK_PAYMENTS
from proof.audit import DATABASES, ORDERS, PAYMENTS, STOCK, Audit
from proof.verdict import Finding

# How long something may be open, whatever it waits for: the values of the queries below.
_LIMITS: Final = {
    # Longer than the PSP's time-out, its look-up and a few resends of an event; no healthy checkout takes it.
    "open_s": 60,
    # A buyer may look for the bank's app for a while.
    "action_s": 3600,
    # A bank debit is decided by the buyer's bank, which may take as long for SEPA's.
    "bank_s": 14 * 86_400,
}
# An event that frees stock is sent again after 5, 10 and 20 s if its receiver was down.
_HELD_LIMIT_S: Final = 30

# As much of an error as fits on a line.
_ERROR_LENGTH: Final = 160


async def nothing_stuck(audit: Audit) -> Finding:
    """No open order, payment, reservation or outbox row is older than its limit."""
    problems: dict[str, str] = {}
    old = await audit.rows(ORDERS, STUCK_ORDERS, _LIMITS)
    ids = {"ids": [row[0] for row in old]}
    excused = {order_id for (order_id,) in await audit.rows(PAYMENTS, AT_THE_BANK, ids | _LIMITS)}
    for order_id, status, age_s in old:
        if order_id not in excused:
            problems[order_id] = f"{order_id} is {status} for {age_s} s"
    for payment_id, status, age_s in await audit.rows(PAYMENTS, STUCK_PAYMENTS, _LIMITS):
        problems[payment_id] = f"{payment_id} is {status}, {age_s} s after it began"
    held = [order_id for (order_id,) in await audit.rows(STOCK, OLD_HOLDS, {"held_s": _HELD_LIMIT_S})]
    asked = {"ids": held, "ended_s": _HELD_LIMIT_S}
    waiting = {order_id for (order_id,) in await audit.rows(ORDERS, WAITING_ORDERS, asked)}
    for order_id in held:
        if order_id not in waiting:
            problems[f"held {order_id}"] = (
                f"stock is HELD for {order_id}, which does not wait for it any more"
            )
    unsent = 0
    for database in DATABASES:
        [(count,)] = await audit.rows(database, UNCONFIRMED_COUNT)
        unsent += count
        for event_id, kind, by, sends, parked, age_s in await audit.rows(database, STUCK_EVENTS, _LIMITS):
            problems[f"{event_id} {by}"] = (
                f"{kind} {event_id} is unconfirmed by {by} after {age_s} s and {sends} sends"
                + (f", and parked: `florin outbox resend {by}`" if parked else "")
            )
    [(open_orders,)] = await audit.rows(ORDERS, OPEN_ORDERS_COUNT)
    return Finding(
        f"{open_orders:,} open orders, {len(held):,} old holds, {unsent:,} unconfirmed events", problems
    )


async def dead_letters(audit: Audit) -> Finding:
    """No event that could not be handled is waiting for a person."""
    problems: dict[str, str] = {}
    total = 0
    for database in DATABASES:
        [(count,)] = await audit.rows(database, LETTERS_COUNT)
        total += count
        for letter, consumer, kind, aggregate, error in await audit.rows(database, OPEN_LETTERS):
            problems[letter] = (
                f"{letter}: {consumer} gave up on {kind} of {aggregate}: {error[:_ERROR_LENGTH]}"
            )
    return Finding(f"{total:,} dead letters", problems)
