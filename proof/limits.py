"""What no row may break: caps of payments, conservation of stock."""

from __future__ import annotations

from inventory_svc.proof import UNITS, WRONG_STOCK
from payment_svc.proof import BROKEN_CAPS, PAYMENTS_COUNT
from proof.audit import PAYMENTS, STOCK, Audit
from proof.verdict import Finding


async def caps_hold(audit: Audit) -> Finding:
    """Refunded <= captured <= authorised, for every payment."""
    problems: dict[str, str] = {}
    for payment_id, amount, captured, refunded, parts in await audit.rows(PAYMENTS, BROKEN_CAPS):
        problems[payment_id] = (
            f"{payment_id}: {amount} authorised, {captured} captured, {refunded} refunded,"
            f" {parts} fee and tax"
        )
    [(count,)] = await audit.rows(PAYMENTS, PAYMENTS_COUNT)
    return Finding(f"{count:,} payments", problems)


async def stock_conserved(audit: Audit) -> Finding:
    """Every unit that was received is free, reserved or sold, and each of those for a reason on record."""
    problems: dict[str, str] = {}
    for row in await audit.rows(STOCK, WRONG_STOCK):
        merchant_id, sku, on_hand, reserved, sold, received, held, sold_on_record, adjusted = row
        product = f"{merchant_id}/{sku}"
        problems[product] = (
            f"{product}: received {received}, on hand {on_hand}, reserved {reserved}, sold {sold};"
            f" on record: received {adjusted}, held {held}, sold {sold_on_record}"
        )
    [(products, received, free, reserved, sold)] = await audit.rows(STOCK, UNITS)
    return Finding(
        f"{products:,} products: {received:,} units = {free:,} free + {reserved:,} reserved + {sold:,} sold",
        problems,
    )
