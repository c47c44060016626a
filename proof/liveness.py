"""Nothing waits for ever: what is open is young, and every dead letter has been looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inventory_svc.proof import HOLDS_REACHED, OLD_HOLDS
from kit.messaging.proof import LETTERS_COUNT, OPEN_LETTERS, STUCK_EVENTS, UNCONFIRMED_COUNT
from kit.store.proof import MISSING_PARTITIONS
from notification_svc.proof import PENDING_COUNT, STUCK_DELIVERIES
from order_svc.proof import OPEN_ORDERS_COUNT, STUCK_ORDERS, WAITING_ORDERS
from payment_svc.proof import (
    PAYMENTS_BY_ID,
    PAYMENTS_OF_ORDERS,
    STUCK_PAYMENTS,
    UNDECIDED_REACHED,
    Payment,
)
from proof.audit import DATABASES, NOTICES, ORDERS, PAYMENTS, STOCK, Audit
from proof.verdict import Finding, State
from roster import ROSTER

# Longer than the PSP's time-out, its look-up and a few resends of an event; no healthy checkout takes it.
_OPEN_S: Final = 60
# How long something may be open, whatever it waits for: the values of the queries below.
_LIMITS: Final = {
    "open_s": _OPEN_S,
    # A buyer may look for the bank's app for a while.
    "action_s": 3600,
    # What is PROCESSING is looked at like everything else; only the PSP can say that a bank is at it.
    "bank_s": _OPEN_S,
}
# A bank debit is decided by the buyer's bank, which may take as long for SEPA's.
_BANK_S: Final = 14 * 86_400
# As many payments are asked for at the PSP, the oldest first; more than that are told as they are.
_MOST_ASKED: Final = 500
# An event that frees stock is sent again after 5, 10 and 20 s if its receiver was down.
_HELD_LIMIT_S: Final = 30

# What is younger is looked at again next time: something with a smaller id may still come.
_YOUNG_S: Final = 60

# As much of an error as fits on a line.
_ERROR_LENGTH: Final = 160


async def nothing_stuck(audit: Audit, state: State) -> Finding:
    """No open order, payment, reservation, e-mail or outbox row is older than its limit.

    Remembered is how far payments are decided and stock is sold or given back, and which are not: an index of
    those would cost each payment and each reservation more than their rows do.
    """
    problems: dict[str, str] = {}
    undecided = _since(state, "payments")
    holding = _since(state, "holds")
    old = await audit.rows(ORDERS, STUCK_ORDERS, _LIMITS)
    stuck = await audit.rows(PAYMENTS, STUCK_PAYMENTS, _LIMITS | undecided)
    excused = await _at_the_bank(audit, [row[0] for row in stuck], [row[0] for row in old])
    for order_id, status, age_s in old:
        if order_id not in excused.values():
            problems[order_id] = f"{order_id} is {status} for {age_s} s"
    for payment_id, status, age_s in stuck:
        if payment_id not in excused:
            problems[payment_id] = f"{payment_id} is {status}, {age_s} s after it began"
    holds = await audit.rows(STOCK, OLD_HOLDS, holding | {"held_s": _HELD_LIMIT_S})
    held = [order_id for (order_id,) in holds]
    asked = {"ids": held, "ended_s": _HELD_LIMIT_S}
    waiting = {order_id for (order_id,) in await audit.rows(ORDERS, WAITING_ORDERS, asked)}
    for order_id in held:
        if order_id not in waiting:
            problems[f"held {order_id}"] = (
                f"stock is HELD for {order_id}, which does not wait for it any more"
            )
    for delivery, order_id, template, attempts, error, late_s in await audit.rows(
        NOTICES, STUCK_DELIVERIES, _LIMITS
    ):
        problems[delivery] = (
            f"{template} {delivery} about {order_id} is {late_s} s late after {attempts} attempts"
            + (f": {error[:_ERROR_LENGTH]}" if error else "")
        )
    unsent = 0
    for database in DATABASES:
        [(count,)] = await audit.rows(database, UNCONFIRMED_COUNT)
        unsent += count
        for event_id, kind, by, sends, parked, age_s in await audit.rows(database, STUCK_EVENTS, _LIMITS):
            problems[f"{event_id} {by}"] = (
                f"{kind} {event_id} is unconfirmed by {by} after {age_s} s and {sends} sends"
                + _way_out(kind, by, parked=parked)
            )
        for table, day in await audit.rows(database, MISSING_PARTITIONS):
            problems[f"{database} {table}"] = (
                f"{table} in {database} has no partition for {day};"
                " `partitions.failed` in its service's log says why"
            )
    [(open_orders,)] = await audit.rows(ORDERS, OPEN_ORDERS_COUNT)
    [(mails,)] = await audit.rows(NOTICES, PENDING_COUNT)
    return Finding(
        f"{open_orders:,} open orders, {len(excused):,} payments at their banks, {len(held):,} old holds,"
        f" {mails:,} e-mails to be sent, {unsent:,} unconfirmed events",
        problems,
        {
            "payments": await _reached(audit, PAYMENTS, UNDECIDED_REACHED, undecided),
            "holds": await _reached(audit, STOCK, HOLDS_REACHED, holding),
        },
    )


def _way_out(kind: str, by: str | None, *, parked: bool) -> str:
    """Return what is done about an event that nobody sends any more, or nobody will ever confirm."""
    if by is not None and by not in ROSTER.consumers.get(kind, ()):
        return f", which is gone: `florin outbox drop {by}`"
    return f", and parked: `florin outbox resend {by}`" if parked else ""


def _since(state: State, what: str) -> dict[str, Any]:
    """Return from where on to look, and what to look at again."""
    return {"after": "", "ids": [], **state.get(what, {})}


async def _reached(audit: Audit, database: str, query: str, since: dict[str, Any]) -> State:
    """Return from where on to look the next time."""
    [(after, ids)] = await audit.rows(database, query, since | {"young_s": _YOUNG_S})
    return {"after": max(after or "", since["after"]), "ids": ids}


async def _at_the_bank(audit: Audit, payment_ids: list[str], order_ids: list[str]) -> Mapping[str, str]:
    """Return what waits for a bank by the PSP's own word, asked for now: orders by payment."""
    asked = {"recent_s": _OPEN_S}
    rows = await audit.rows(PAYMENTS, PAYMENTS_BY_ID, asked | {"ids": payment_ids})
    rows += await audit.rows(PAYMENTS, PAYMENTS_OF_ORDERS, asked | {"ids": order_ids})
    found = {payment.id: payment for payment in (Payment(*row) for row in rows)}
    candidates = [
        payment
        for payment in sorted(found.values(), key=lambda payment: -payment.age_s)
        if payment.status == "PROCESSING" and payment.psp_reference and payment.age_s < _BANK_S
    ]
    excused = {}
    for payment in candidates[:_MOST_ASKED]:
        charge = await audit.psp.payment(payment.psp_reference)
        if charge is not None and charge.status == "processing" and charge.payment_id == payment.id:
            excused[payment.id] = payment.order_id
    return excused


async def dead_letters(audit: Audit, _: State) -> Finding:
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
