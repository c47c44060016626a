"""Orders, payments, journals and stock tell the same story, field by field.

Each side is walked by its own key, a page at a time, and each row asks the others for their part of it:
an order for its payment, its stock and the journal it names; a journal, a capture and a sale for their order.
So whatever one side has too much is found from there, what it has too little from the others, and no side is
ever held as a whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from inventory_svc.proof import RESERVATIONS_AFTER, RESERVATIONS_OF_ORDERS
from ledger_svc.domain.accounts import PLATFORM, account_code
from ledger_svc.proof import HORIZON, PostedJournal
from order_svc.proof import KNOWN_ORDERS, ORDERS_AFTER, ORDERS_BY_ID, PlacedOrder
from payment_svc.proof import CAPTURES_AFTER, PAYMENTS_OF_ORDERS, Payment
from proof.audit import BOOKS, ORDERS, PAYMENTS, STOCK, Audit
from proof.journals import journals_before, journals_of
from proof.verdict import Finding, State

# What an order causes when it ends is done by others a moment later.
CATCH_UP_S: Final = 5
# Stock is given back by an event, which is sent again if its receiver was down.
_RELEASE_S: Final = 30
# Ids are made before their rows are committed, and by clocks that differ a little: what is younger than this
# is read again next time, because something with a smaller id may still come.
YOUNG_S: Final = 60
PAGE: Final = 1_000
# Of what is proven, as many orders are looked at again each time, in turn.
_PATROL: Final = 1_000

_YOUNG: Final = {"young_s": YOUNG_S, "page": PAGE}


@dataclass(frozen=True, slots=True)
class _Reserved:
    """What stock says of an order."""

    merchant_id: str
    status: str
    units: Mapping[str, int]


@dataclass(slots=True)
class _Seen:
    """What one walk has come by."""

    problems: dict[str, str] = field(default_factory=dict)
    orders: int = 0
    completed: int = 0
    journals: int = 0
    captures: int = 0
    # Ended so lately that the others may not have caught up; and not ended at all.
    too_new: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    again: int = 0


async def orders_payments_ledger_agree(audit: Audit, state: State) -> Finding:
    """COMPLETED ⇔ captured, posted once and sold, all to the last field; otherwise nothing was kept."""
    seen = _Seen()
    promised = state.get("promised", {}).get("orders", {})
    orders = await _walk_orders(audit, state.get("orders", {"promised": promised}), seen)
    journals = await _walk_journals(audit, state.get("journals", {}), seen)
    captures = await _walk_strays(audit, PAYMENTS, CAPTURES_AFTER, state.get("captures", ""), seen)
    sales = await _walk_strays(audit, STOCK, RESERVATIONS_AFTER, state.get("sales", ""), seen)
    looked_at = (
        f"{seen.orders:,} ended orders ({seen.completed:,} completed), {seen.captures:,} captures,"
        f" {seen.journals:,} journals; {len(seen.too_new):,} orders too new to look at,"
        f" {len(seen.open):,} not ended"
    )
    if before := state.get("orders", {}).get("count", 0):
        looked_at += f"; {before:,} orders proven before, {seen.again:,} of them looked at again"
    return Finding(
        looked_at,
        seen.problems,
        {"orders": orders, "journals": journals, "captures": captures, "sales": sales},
    )


# --- From the orders' side.


async def _walk_orders(audit: Audit, state: State, seen: _Seen) -> State:
    """Look at what is new, at what was not ended last time, and at a part of what is proven."""
    left = set(state.get("left", ()))
    for ids in _pages(sorted(left)):
        page = [PlacedOrder(*row) for row in await audit.rows(ORDERS, ORDERS_BY_ID, _YOUNG | {"ids": ids})]
        for missing in set(ids) - {order.id for order in page}:
            seen.problems[f"gone {missing}"] = f"order {missing} was there at the last proof and is gone"
        await _judge(audit, page, seen)
        left -= {order.id for order in page} - seen.too_new - seen.open
    after, count = state.get("after", ""), state.get("count", 0)
    digest = bytes.fromhex(state.get("digest", ""))
    reached = after
    promised = state.get("promised", {})
    is_old = True
    async for page in _orders_after(audit, after):
        await _judge(audit, page, seen)
        for order in page:
            is_old = is_old and order.is_old
            if not is_old:
                break
            reached, count, digest = order.id, count + 1, _digest(digest, order)
            if order.id in seen.too_new or order.id in seen.open:
                left.add(order.id)
            if reached == promised.get("after") and (count, digest.hex()) != (
                promised["count"],
                promised["digest"],
            ):
                seen.problems["proven orders"] = (
                    f"the {promised['count']:,} orders up to {reached} that were proven are not what they"
                    f" were: {count:,} are there, or what was ordered has changed"
                )
    if promised and reached < promised["after"]:
        seen.problems["proven orders"] = (
            f"orders were proven up to {promised['after']}, which is not there any more"
        )
    return {
        "after": reached,
        "count": count,
        "digest": digest.hex(),
        "left": sorted(left),
        "patrol": await _patrol(audit, after, state.get("patrol", ""), seen),
    }


async def _patrol(audit: Audit, until: str, begin: str, seen: _Seen) -> str:
    """Look again at a page of what is proven; return where to go on."""
    if not until:
        return ""
    found = await audit.rows(ORDERS, ORDERS_AFTER, _YOUNG | {"after": begin, "page": _PATROL})
    page = [order for order in (PlacedOrder(*row) for row in found) if order.id <= until]
    await _judge(audit, page, _Seen(seen.problems, too_new=seen.too_new, open=seen.open))
    seen.again += len(page)
    return page[-1].id if len(page) == _PATROL else ""


async def _orders_after(audit: Audit, after: str) -> AsyncIterator[list[PlacedOrder]]:
    while rows := await audit.rows(ORDERS, ORDERS_AFTER, _YOUNG | {"after": after}):
        yield [PlacedOrder(*row) for row in rows]
        after = rows[-1][0]


def _digest(before: bytes, order: PlacedOrder) -> bytes:
    """Return the hash of all orders up to this one, of what never changes of them."""
    lasting = (
        *(order.id, order.merchant_id, order.customer_id),
        *(order.currency, order.total_amount, order.tax_amount, order.lines),
    )
    return hashlib.sha256(before + orjson.dumps(lasting)).digest()


async def _judge(audit: Audit, orders: Sequence[PlacedOrder], seen: _Seen) -> None:
    """Compare a page of orders with what the others have of them; what has not ended is counted only."""
    ended = []
    for order in orders:
        if order.ended_s_ago is None:
            seen.open.add(order.id)
        elif order.ended_s_ago < CATCH_UP_S:
            seen.too_new.add(order.id)
        else:
            ended.append(order)
    if not ended:
        return
    ids = [order.id for order in ended]
    # In the order of cause: orders were read first, so what the others have is not older.
    payments = await _payments(audit, ids)
    named = [order.journal_id for order in ended if order.journal_id]
    journals = {journal.id: journal for journal in await journals_of(audit, named)}
    stock = {
        order_id: _Reserved(merchant_id, status, units or {})
        for order_id, merchant_id, status, units in await audit.rows(
            STOCK, RESERVATIONS_OF_ORDERS, {"ids": ids}
        )
    }
    for order in ended:
        payment = payments.get(order.id)
        wrong = [
            *_of_itself(order),
            *_of_payment(order, payment),
            *_of_stock(order, stock.get(order.id)),
            *(_of_completed(order, payment, journals) if order.status == "COMPLETED" else ()),
        ]
        if wrong:
            seen.problems[order.id] = f"{order.id} {' and '.join(wrong)}"
    seen.orders += len(ended)
    seen.completed += sum(order.status == "COMPLETED" for order in ended)


def _of_itself(order: PlacedOrder) -> Iterator[str]:
    total = sum(quantity * unit_amount for _, _, quantity, unit_amount, _ in order.lines)
    tax = sum(line[4] for line in order.lines)
    if (order.total_amount, order.tax_amount) != (total, tax):
        yield (
            f"costs {order.total_amount} {order.currency} with {order.tax_amount} tax,"
            f" its lines {total} with {tax}"
        )


def _of_payment(order: PlacedOrder, payment: Payment | None) -> Iterator[str]:
    if payment is None:
        return
    for what, ordered, paid in (
        ("merchant", order.merchant_id, payment.merchant_id),
        ("buyer", order.customer_id, payment.customer_id),
        ("currency", order.currency, payment.currency),
        ("total", order.total_amount, payment.amount),
        ("tax", order.tax_amount, payment.tax_amount),
    ):
        if ordered != paid:
            yield f"has the {what} {ordered}, {payment.id} has {paid}"
    kept = payment.amount_captured - payment.amount_refunded
    if order.status != "COMPLETED" and kept:
        yield f"is {order.status} but {kept} {payment.currency} of {payment.id} are kept"


def _of_stock(order: PlacedOrder, reserved: _Reserved | None) -> Iterator[str]:
    status = reserved.status if reserved else "free"
    if order.status == "COMPLETED":
        if status != "SOLD":
            yield f"is COMPLETED but its stock is {status}"
    elif status == "SOLD" or (status == "HELD" and (order.ended_s_ago or 0) > _RELEASE_S):
        yield f"is {order.status} but its stock is {status}"
    if reserved is None:
        return
    if reserved.merchant_id != order.merchant_id:
        yield f"has the merchant {order.merchant_id}, its stock {reserved.merchant_id}"
    ordered: Counter[str] = Counter()
    for sku, _, quantity, _, _ in order.lines:
        ordered[sku] += quantity
    for sku in sorted(ordered.keys() | reserved.units.keys()):
        if ordered[sku] != reserved.units.get(sku, 0):
            yield f"has {ordered[sku]} of {sku}, its stock {reserved.units.get(sku, 0)}"


def _of_completed(
    order: PlacedOrder, payment: Payment | None, journals: Mapping[str, PostedJournal]
) -> Iterator[str]:
    if payment is None or not payment.amount_captured:
        yield "is COMPLETED but nothing is captured"
    elif (payment.amount_captured, payment.currency, payment.id) != (
        order.total_amount,
        order.currency,
        order.payment_id,
    ):
        yield (
            f"costs {order.total_amount} {order.currency} by {order.payment_id or 'no payment'} but"
            f" {payment.amount_captured} {payment.currency} are captured by {payment.id}"
        )
    journal = journals.get(order.journal_id)
    if journal is None:
        yield f"is COMPLETED but names {order.journal_id or 'no journal'}, which is not posted"
    elif (journal.order_id, journal.payment_id) != (order.id, order.payment_id):
        yield f"names another journal than its own: {journal.id} of {journal.payment_id}"
    elif payment is not None:
        yield from (f"is posted by {journal.id}, which {line}" for line in _wrong_lines(journal, payment))


# --- From the books' side.


async def _walk_journals(audit: Audit, state: State, seen: _Seen) -> State:
    """Look at the journals of captures that are new, and at those whose orders had not ended last time."""
    left: set[str] = set()
    for ids in _pages(state.get("left", ())):
        left |= await _judge_journals(audit, await journals_of(audit, ids), seen)
    since = state.get("since", 0)
    [(horizon,)] = await audit.rows(BOOKS, HORIZON)
    until = max(horizon, since)
    async for page in journals_before(audit, since=since, until=until):
        captures = [journal for journal in page if journal.kind == "payment.captured"]
        left |= await _judge_journals(audit, captures, seen)
    return {"since": until, "left": sorted(left)}


async def _judge_journals(audit: Audit, journals: Sequence[PostedJournal], seen: _Seen) -> set[str]:
    """Compare journals with their payments and orders; return those whose orders are under way."""
    if not journals:
        return set()
    ids = sorted({journal.order_id for journal in journals})
    found = await audit.rows(ORDERS, ORDERS_BY_ID, _YOUNG | {"ids": ids})
    orders = {order.id: order for order in (PlacedOrder(*row) for row in found)}
    payments = await _payments(audit, ids)
    left = set()
    for journal in journals:
        order, payment = orders.get(journal.order_id), payments.get(journal.order_id)
        if order is None:
            seen.problems[f"stray {journal.order_id}"] = _stray(journal.order_id)
        elif order.ended_s_ago is None or order.ended_s_ago < CATCH_UP_S:
            left.add(journal.id)
        if wrong := list(_of_journal(journal, order, payment)):
            seen.problems[f"lines {journal.id}"] = f"{journal.id} {' and '.join(wrong)}"
    seen.journals += len(journals)
    return left


def _of_journal(journal: PostedJournal, order: PlacedOrder | None, payment: Payment | None) -> Iterator[str]:
    if order is not None and order.status == "COMPLETED" and order.journal_id != journal.id:
        yield f"is posted for {order.id}, too, whose journal is {order.journal_id or 'none'}"
    if payment is None or not payment.amount_captured:
        yield f"is posted for {journal.order_id}, of which nothing is captured"
        return
    yield from _wrong_lines(journal, payment)
    kept = payment.amount_captured - payment.amount_refunded
    if kept and order is not None and order.status != "COMPLETED" and order.ended_s_ago is not None:
        # The money came after its order had ended.
        yield f"says that {kept} {payment.currency} are kept of {order.id}, which is {order.status}"


def _wrong_lines(journal: PostedJournal, payment: Payment) -> Iterator[str]:
    """What a journal does not say of a capture as the payment does."""
    expected = _expected_lines(payment)
    lines = journal.lines
    for account in sorted(lines.keys() | expected.keys()):
        posted, due = lines.get(account), expected.get(account)
        if posted != due:
            yield f"has {posted or 'nothing'} on {account}, where {due or 'nothing'} belongs"


def _expected_lines(payment: Payment) -> dict[str, int]:
    """Return what has to stand in the journal of a capture: who owes and owns the money, and where it is.

    Said here once more and not taken from the ledger, which would agree with itself.
    """
    amount = payment.amount_captured
    lines = (
        ("card", payment.customer_id, -amount),
        ("merchant", payment.merchant_id, amount - payment.fee_amount - payment.tax_amount),
        ("platform_revenue", PLATFORM, payment.fee_amount),
        ("tax_payable", PLATFORM, payment.tax_amount),
        ("psp_clearing", payment.psp, -amount),
        ("card_clearing", payment.psp, amount),
    )
    return {account_code(kind, owner, payment.currency): minor for kind, owner, minor in lines if minor != 0}


# --- From the sides of money and stock: what belongs to no order.


async def _walk_strays(audit: Audit, database: str, query: str, after: str, seen: _Seen) -> str:
    """Look for captures or sales of orders that do not exist; return how far all are old."""
    reached, is_old = after, True
    while rows := await audit.rows(database, query, _YOUNG | {"after": after}):
        moved = [
            order_id for _, order_id, what, _ in rows if what == "SOLD" or (what and database == PAYMENTS)
        ]
        known = {row[0] for row in await audit.rows(ORDERS, KNOWN_ORDERS, {"ids": moved})}
        for order_id in set(moved) - known:
            seen.problems[f"stray {order_id}"] = _stray(order_id)
        if database == PAYMENTS:
            seen.captures += len(moved)
        for row_id, _, _, row_is_old in rows:
            is_old = is_old and row_is_old
            reached = row_id if is_old else reached
        after = rows[-1][0]
    return reached


def _stray(order_id: str) -> str:
    return f"money or stock moved for order {order_id!r}, which does not exist"


async def _payments(audit: Audit, order_ids: Sequence[str]) -> dict[str, Payment]:
    rows = await audit.rows(PAYMENTS, PAYMENTS_OF_ORDERS, {"ids": order_ids, "recent_s": YOUNG_S})
    return {row[0]: Payment(*row) for row in rows}


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(ids), PAGE):
        yield ids[begin : begin + PAGE]
