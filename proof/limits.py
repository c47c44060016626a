"""What no row may break: caps of payments, conservation of stock."""

from __future__ import annotations

from collections import Counter
from typing import Final

from psycopg import IsolationLevel

from inventory_svc.proof import PRODUCTS, REACHED, UNITS, UNITS_SINCE, WRONG_STOCK
from payment_svc.proof import BROKEN_CAPS, SETTLED_TO
from proof.audit import PAYMENTS, STOCK, Audit
from proof.verdict import Finding, State

# What is younger is looked at again next time: something with a smaller id may still come.
_YOUNG_S: Final = 60


async def caps_hold(audit: Audit, state: State) -> Finding:
    """Refunded <= captured <= authorised, for every payment."""
    problems: dict[str, str] = {}
    after, count = state.get("after", ""), state.get("count", 0)
    broken = await audit.rows(PAYMENTS, BROKEN_CAPS, {"after": after})
    for payment_id, amount, captured, refunded, parts in broken:
        problems[payment_id] = (
            f"{payment_id}: {amount} authorised, {captured} captured, {refunded} refunded,"
            f" {parts} fee and tax"
        )
    [(looked_at, old, reached)] = await audit.rows(PAYMENTS, SETTLED_TO, {"after": after})
    told = f"{looked_at:,} payments" + (f"; {count:,} proven before" if count else "")
    return Finding(told, problems, {"after": reached or after, "count": count + old})


async def stock_conserved(audit: Audit, state: State) -> Finding:
    """Every unit that was received is free, reserved or sold, and each of those for a reason on record.

    Remembered is what old reservations and adjustments come to, product by product. Where that does not fit
    any more (a payment may come after its stock was given back), all of it is summed up anew.
    """
    remembered, fits = await _units(audit, state)
    problems: dict[str, str] = {}
    if not fits:
        for row in await audit.rows(STOCK, WRONG_STOCK):
            merchant_id, sku, on_hand, reserved, sold, received, held, sold_on_record, adjusted = row
            product = f"{merchant_id}/{sku}"
            problems[product] = (
                f"{product}: received {received}, on hand {on_hand}, reserved {reserved}, sold {sold};"
                f" on record: received {adjusted}, held {held}, sold {sold_on_record}"
            )
        if not problems:
            remembered, _ = await _units(audit, {})
    [(products, received, free, reserved, sold)] = await audit.rows(STOCK, UNITS)
    return Finding(
        f"{products:,} products: {received:,} units = {free:,} free + {reserved:,} reserved + {sold:,} sold",
        problems,
        remembered,
    )


async def _units(audit: Audit, state: State) -> tuple[State, bool]:
    """Return what to remember, and whether all products are what was remembered and has come since."""
    values = {
        "after": state.get("after", ""),
        "ids": state.get("left", []),
        "adjusted_after": state.get("adjusted_after", ""),
        "young_s": _YOUNG_S,
    }
    async with audit.connect(STOCK) as connection:
        # Products, reservations and adjustments as of one instant.
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        async with connection.transaction():
            moved = await (await connection.execute(UNITS_SINCE, values)).fetchall()
            [(after, adjusted_after, left)] = await (await connection.execute(REACHED, values)).fetchall()
            products = await (await connection.execute(PRODUCTS)).fetchall()
    old: Counter[tuple[str, str, str]] = Counter()
    for merchant_id, sku, what, units in state.get("units", ()):
        old[merchant_id, sku, what] = units
    now = old.copy()
    for merchant_id, sku, status, is_old, units in moved:
        now[merchant_id, sku, status] += units
        if is_old and status in ("SOLD", "RECEIVED"):
            old[merchant_id, sku, status] += units
    there = set()
    fits = True
    for merchant_id, sku, on_hand, reserved, sold, received in products:
        there.add((merchant_id, sku))
        held, sold_on_record, adjusted = (
            now[merchant_id, sku, what] for what in ("HELD", "SOLD", "RECEIVED")
        )
        fits &= (reserved, sold, received) == (held, sold_on_record, adjusted)
        fits &= received == on_hand + sold and 0 <= reserved <= on_hand
    fits &= {key[:2] for key, units in now.items() if units and key[2] != "RELEASED"} <= there
    return {
        "after": after or values["after"],
        "adjusted_after": adjusted_after or values["adjusted_after"],
        "left": left,
        "units": [[*key, units] for key, units in old.items()],
    }, fits
