"""Checkout intake: price the carts, accept the orders, ask for their stock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from florin.common.v1.charge_pb2 import AUTOMATIC, ChargeInstruction, StockLine
from florin.order.v1.order_events_pb2 import OrderPlaced

from kit.messaging.events import Aggregate, NewEvent
from kit.values.errors import FlorinError
from kit.values.trail import Trail
from order_svc.application.ports import Catalogue, Scope, TimelineStep
from order_svc.domain import tax
from order_svc.domain.order import Order
from order_svc.domain.pricing import CartLine, Price, Quote, quote, require_expected


@dataclass(frozen=True, slots=True)
class Checkout:
    """A cart as its buyer sent it, and who that is."""

    merchant_id: str
    customer_id: str
    cart: tuple[CartLine, ...]
    currency: str
    payment_method_id: str
    expected_total_amount: int | None
    shipping_address: Mapping[str, str]
    attribution: Mapping[str, str]
    receipt_email: str
    trail: Trail


@dataclass(frozen=True, slots=True)
class PricedCheckout:
    """A checkout with its quote, or with the refusal that pricing it ended in."""

    checkout: Checkout
    outcome: Quote | FlorinError


async def price_checkouts(catalogue: Catalogue, checkouts: Sequence[Checkout]) -> list[PricedCheckout]:
    """Price carts at the merchants' prices of this moment, with one look into the catalogue for all.

    Runs before the step: it may ask another service. Never raises: each checkout has its own refusal.
    """
    keys = {(c.merchant_id, line.sku) for c in checkouts for line in c.cart}
    try:
        prices = await catalogue(sorted(keys))
    except FlorinError as error:
        if len(checkouts) == 1:
            return [PricedCheckout(checkouts[0], error)]
        # Prices that are known serve while others cannot be asked for.
        return [each for checkout in checkouts for each in await price_checkouts(catalogue, [checkout])]
    by_merchant: dict[str, dict[str, Price]] = defaultdict(dict)
    for (merchant_id, sku), price in prices.items():
        by_merchant[merchant_id][sku] = price
    priced: list[PricedCheckout] = []
    for checkout in checkouts:
        try:
            quoted = quote(
                checkout.cart,
                by_merchant[checkout.merchant_id],
                currency=checkout.currency,
                tax_rate_bp=tax.rate_bp(checkout.shipping_address.get("country", "")),
            )
            require_expected(quoted, checkout.expected_total_amount)
            priced.append(PricedCheckout(checkout, quoted))
        except FlorinError as error:
            priced.append(PricedCheckout(checkout, error))
    return priced


async def place_orders(
    scope: Scope, priced: Sequence[PricedCheckout]
) -> tuple[list[Order | FlorinError], list[NewEvent]]:
    """Accept priced checkouts as orders; return an order or refusal each, and what to emit."""
    results = [
        item.outcome if isinstance(item.outcome, FlorinError) else _accept(scope, item.checkout, item.outcome)
        for item in priced
    ]
    orders = [order for order in results if isinstance(order, Order)]
    if not orders:
        return results, []
    await scope.orders.add(orders)
    await scope.orders.record([_placed_step(order) for order in orders])
    return results, [
        NewEvent(order_placed(order), Aggregate("order", order.id), order.trail) for order in orders
    ]


def _accept(scope: Scope, checkout: Checkout, quoted: Quote) -> Order:
    now = scope.clock()
    return Order(
        id=scope.new_id("ord"),
        merchant_id=checkout.merchant_id,
        customer_id=checkout.customer_id,
        lines=quoted.lines,
        currency=checkout.currency,
        total_amount=quoted.total_amount,
        tax_amount=quoted.tax_amount,
        payment_method_id=checkout.payment_method_id,
        receipt_email=checkout.receipt_email,
        trail=checkout.trail,
        created_at=now,
        updated_at=now,
        shipping_address=checkout.shipping_address,
        attribution=checkout.attribution,
    )


def _placed_step(order: Order) -> TimelineStep:
    detail = f"{len(order.lines)} line(s), {order.total_amount} {order.currency} in minor units"
    return TimelineStep(
        order.id, order.id, order.created_at, "order_svc", "order.placed", detail, order.trail.trace_id
    )


def charge_of(order: Order) -> ChargeInstruction:
    """Return what is to be charged for an order."""
    return ChargeInstruction(
        merchant_id=order.merchant_id,
        customer_id=order.customer_id,
        amount=order.total_amount,
        tax_amount=order.tax_amount,
        currency=order.currency,
        payment_method_id=order.payment_method_id,
        capture_method=AUTOMATIC,
        receipt_email=order.receipt_email,
    )


def stock_lines_of(order: Order) -> list[StockLine]:
    """Return the quantities an order needs."""
    return [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]


def order_placed(order: Order) -> OrderPlaced:
    """Return the event that asks for an order's stock."""
    return OrderPlaced(
        order_id=order.id,
        version=order.version,
        lines=stock_lines_of(order),
        charge=charge_of(order),
    )
