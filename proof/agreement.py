"""Orders, payments, journals and stock tell the same story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ledger_svc.domain.accounts import PLATFORM, account_code
from proof.audit import BOOKS, ORDERS, PAYMENTS, STOCK, Audit
from proof.verdict import Finding

# What an order causes when it ends is done by others a moment later.
SETTLING_S: Final = 5
# Stock is given back by an event, which is sent again if its receiver was down.
_RELEASE_S: Final = 30

_ENDED: Final = """
SELECT id, status, currency, total_amount, payment_id, journal_id,
    extract(epoch FROM now() - ended_at)::float8
FROM orders WHERE ended_at < now() - make_interval(secs => %s)
"""
_CAPTURED: Final = """
SELECT order_id, id, merchant_id, customer_id, psp, currency, amount_captured, amount_refunded, fee_amount,
    tax_amount
FROM payments WHERE amount_captured > 0
"""
# The base of an account names its owner and its currency.
_POSTED: Final = """
SELECT order_id, id, payment_id, jsonb_object_agg(base, amount)
FROM (
    SELECT j.order_id, j.id, j.payment_id, a.base, sum(e.amount)::bigint AS amount
    FROM journals j JOIN entries e ON e.journal_id = j.id JOIN accounts a ON a.id = e.account_id
    WHERE j.kind = 'payment.captured' GROUP BY j.id, a.base
) AS line
GROUP BY order_id, id, payment_id
"""
_RESERVED: Final = "SELECT order_id, status FROM reservations WHERE status IN ('HELD', 'SOLD')"
_KNOWN_ORDERS: Final = "SELECT id FROM orders WHERE id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class _Order:
    status: str
    currency: str
    total: int
    payment_id: str
    journal_id: str
    ended_s_ago: float


@dataclass(frozen=True, slots=True)
class _Capture:
    payment_id: str
    merchant_id: str
    customer_id: str
    psp: str
    currency: str
    captured: int
    refunded: int
    fee: int
    tax: int


@dataclass(frozen=True, slots=True)
class _Journal:
    id: str
    payment_id: str
    # Minor units by account.
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the four services know about all orders; orders were read first, so the rest is not older."""

    orders: Mapping[str, _Order]
    captures: Mapping[str, _Capture]
    journals: Mapping[str, list[_Journal]]
    stock: Mapping[str, str]


async def orders_payments_ledger_agree(audit: Audit) -> Finding:
    """COMPLETED ⇔ captured, posted once with the order's total, and sold; otherwise nothing was kept."""
    evidence = await _gather(audit)
    problems = {
        order_id: f"{order_id} {' and '.join(wrong)}"
        for order_id, order in evidence.orders.items()
        if (wrong := list(_contradictions(order_id, order, evidence)))
    }
    problems |= _misposted(evidence)
    problems |= await _strays(audit, evidence)
    completed = sum(order.status == "COMPLETED" for order in evidence.orders.values())
    looked_at = (
        f"{len(evidence.orders):,} ended orders ({completed:,} completed),"
        f" {len(evidence.captures):,} captures, {sum(map(len, evidence.journals.values())):,} journals"
    )
    return Finding(looked_at, problems)


async def _gather(audit: Audit) -> _Evidence:
    # In the order of cause: what a later answer has more than an earlier one is only on its way.
    orders = {row[0]: _Order(*row[1:]) for row in await audit.rows(ORDERS, _ENDED, (SETTLING_S,))}
    captures = {row[0]: _Capture(*row[1:]) for row in await audit.rows(PAYMENTS, _CAPTURED)}
    journals: dict[str, list[_Journal]] = defaultdict(list)
    for order_id, *columns in await audit.rows(BOOKS, _POSTED):
        journals[order_id or ""].append(_Journal(*columns))
    stock: dict[str, str] = dict(await audit.rows(STOCK, _RESERVED))
    return _Evidence(orders, captures, journals, stock)


def _contradictions(order_id: str, order: _Order, evidence: _Evidence) -> Iterator[str]:
    capture = evidence.captures.get(order_id)
    journals = evidence.journals.get(order_id, [])
    stock = evidence.stock.get(order_id, "free")
    if order.status == "COMPLETED":
        yield from _of_completed(order, capture, journals)
        if stock != "SOLD":
            yield f"is COMPLETED but its stock is {stock}"
        return
    if capture is not None and capture.captured != capture.refunded:
        kept = capture.captured - capture.refunded
        yield f"is {order.status} but {kept} {capture.currency} of {capture.payment_id} are kept"
    if capture is None and journals:
        yield f"is {order.status} and never captured but journal {journals[0].id} is posted"
    if stock == "SOLD" or (stock == "HELD" and order.ended_s_ago > _RELEASE_S):
        yield f"is {order.status} but its stock is {stock}"


def _of_completed(order: _Order, capture: _Capture | None, journals: list[_Journal]) -> Iterator[str]:
    if capture is None:
        yield "is COMPLETED but nothing is captured"
    elif (capture.captured, capture.currency, capture.payment_id) != (
        order.total,
        order.currency,
        order.payment_id,
    ):
        yield (
            f"costs {order.total} {order.currency} by {order.payment_id or 'no payment'} but"
            f" {capture.captured} {capture.currency} are captured by {capture.payment_id}"
        )
    if len(journals) != 1:
        yield f"is COMPLETED but has {len(journals)} journals"
        return
    [journal] = journals
    if (journal.id, journal.payment_id) != (order.journal_id, order.payment_id):
        yield f"names another journal or payment than {journal.id} of {journal.payment_id}"


def _misposted(evidence: _Evidence) -> dict[str, str]:
    """Journals that do not say of a capture what the payment says, whatever became of the order."""
    return {
        f"lines {journal.id}": f"{journal.id} of {capture.payment_id} {' and '.join(wrong)}"
        for order_id, capture in evidence.captures.items()
        for journal in evidence.journals.get(order_id, [])
        if (wrong := list(_wrong_lines(journal, capture)))
    }


def _wrong_lines(journal: _Journal, capture: _Capture) -> Iterator[str]:
    expected = _expected_lines(capture)
    for account in sorted(journal.lines.keys() | expected.keys()):
        posted, due = journal.lines.get(account), expected.get(account)
        if posted != due:
            yield f"has {posted or 'nothing'} on {account}, where {due or 'nothing'} belongs"


def _expected_lines(capture: _Capture) -> dict[str, int]:
    """Return what has to stand in the journal of a capture: who owes and owns the money, and where it is.

    Said here once more and not taken from the ledger, which would agree with itself.
    """
    amount = capture.captured
    lines = (
        ("card", capture.customer_id, -amount),
        ("merchant", capture.merchant_id, amount - capture.fee - capture.tax),
        ("platform_revenue", PLATFORM, capture.fee),
        ("tax_payable", PLATFORM, capture.tax),
        ("psp_clearing", capture.psp, -amount),
        ("card_clearing", capture.psp, amount),
    )
    return {account_code(kind, owner, capture.currency): minor for kind, owner, minor in lines if minor != 0}


async def _strays(audit: Audit, evidence: _Evidence) -> dict[str, str]:
    """Captures, journals and sales of orders that do not exist, and journals without a capture."""
    problems: dict[str, str] = {}
    sold = [order_id for order_id, state in evidence.stock.items() if state == "SOLD"]
    elsewhere = {*evidence.captures, *evidence.journals, *sold} - evidence.orders.keys()
    known = {row[0] for row in await audit.rows(ORDERS, _KNOWN_ORDERS, (sorted(elsewhere),))}
    for order_id in elsewhere - known:
        problems[f"stray {order_id}"] = f"money or stock moved for order {order_id!r}, which does not exist"
    for order_id in evidence.journals.keys() - evidence.captures.keys() - evidence.orders.keys():
        # Captured after the captures were read, unless it is there at the second look, too.
        problems[f"uncaptured {order_id}"] = f"a journal is posted for {order_id} but nothing is captured"
    return problems
