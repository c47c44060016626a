"""Orders, payments, journals and stock tell the same story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inventory_svc.proof import TAKEN_STOCK
from ledger_svc.domain.accounts import PLATFORM, account_code
from ledger_svc.proof import CAPTURE_JOURNALS, CaptureJournal
from order_svc.proof import ENDED_ORDERS, KNOWN_ORDERS, EndedOrder
from payment_svc.proof import CAPTURED_PAYMENTS, CapturedPayment
from proof.audit import BOOKS, ORDERS, PAYMENTS, STOCK, Audit
from proof.verdict import Finding

# What an order causes when it ends is done by others a moment later.
CATCH_UP_S: Final = 5
# Stock is given back by an event, which is sent again if its receiver was down.
_RELEASE_S: Final = 30


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the four services know about all orders; orders were read first, so the rest is not older."""

    orders: Mapping[str, EndedOrder]
    captures: Mapping[str, CapturedPayment]
    journals: Mapping[str, list[CaptureJournal]]
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
    ended = [EndedOrder(*row) for row in await audit.rows(ORDERS, ENDED_ORDERS, {"catch_up_s": CATCH_UP_S})]
    captured = [CapturedPayment(*row) for row in await audit.rows(PAYMENTS, CAPTURED_PAYMENTS)]
    journals: dict[str, list[CaptureJournal]] = defaultdict(list)
    for row in await audit.rows(BOOKS, CAPTURE_JOURNALS):
        journal = CaptureJournal(*row)
        journals[journal.order_id or ""].append(journal)
    return _Evidence(
        orders={order.id: order for order in ended},
        captures={capture.order_id: capture for capture in captured},
        journals=journals,
        stock=dict(await audit.rows(STOCK, TAKEN_STOCK)),
    )


def _contradictions(order_id: str, order: EndedOrder, evidence: _Evidence) -> Iterator[str]:
    capture = evidence.captures.get(order_id)
    journals = evidence.journals.get(order_id, [])
    stock = evidence.stock.get(order_id, "free")
    if order.status == "COMPLETED":
        yield from _of_completed(order, capture, journals)
        if stock != "SOLD":
            yield f"is COMPLETED but its stock is {stock}"
        return
    if capture is not None and capture.amount_captured != capture.amount_refunded:
        kept = capture.amount_captured - capture.amount_refunded
        yield f"is {order.status} but {kept} {capture.currency} of {capture.id} are kept"
    if capture is None and journals:
        yield f"is {order.status} and never captured but journal {journals[0].id} is posted"
    if stock == "SOLD" or (stock == "HELD" and order.ended_s_ago > _RELEASE_S):
        yield f"is {order.status} but its stock is {stock}"


def _of_completed(
    order: EndedOrder, capture: CapturedPayment | None, journals: list[CaptureJournal]
) -> Iterator[str]:
    if capture is None:
        yield "is COMPLETED but nothing is captured"
    elif (capture.amount_captured, capture.currency, capture.id) != (
        order.total_amount,
        order.currency,
        order.payment_id,
    ):
        yield (
            f"costs {order.total_amount} {order.currency} by {order.payment_id or 'no payment'} but"
            f" {capture.amount_captured} {capture.currency} are captured by {capture.id}"
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
        f"lines {journal.id}": f"{journal.id} of {capture.id} {' and '.join(wrong)}"
        for order_id, capture in evidence.captures.items()
        for journal in evidence.journals.get(order_id, [])
        if (wrong := list(_wrong_lines(journal, capture)))
    }


def _wrong_lines(journal: CaptureJournal, capture: CapturedPayment) -> Iterator[str]:
    expected = _expected_lines(capture)
    for account in sorted(journal.lines.keys() | expected.keys()):
        posted, due = journal.lines.get(account), expected.get(account)
        if posted != due:
            yield f"has {posted or 'nothing'} on {account}, where {due or 'nothing'} belongs"


def _expected_lines(capture: CapturedPayment) -> dict[str, int]:
    """Return what has to stand in the journal of a capture: who owes and owns the money, and where it is.

    Said here once more and not taken from the ledger, which would agree with itself.
    """
    amount = capture.amount_captured
    lines = (
        ("card", capture.customer_id, -amount),
        ("merchant", capture.merchant_id, amount - capture.fee_amount - capture.tax_amount),
        ("platform_revenue", PLATFORM, capture.fee_amount),
        ("tax_payable", PLATFORM, capture.tax_amount),
        ("psp_clearing", capture.psp, -amount),
        ("card_clearing", capture.psp, amount),
    )
    return {account_code(kind, owner, capture.currency): minor for kind, owner, minor in lines if minor != 0}


async def _strays(audit: Audit, evidence: _Evidence) -> dict[str, str]:
    """Captures, journals and sales of orders that do not exist, and journals without a capture."""
    problems: dict[str, str] = {}
    sold = [order_id for order_id, state in evidence.stock.items() if state == "SOLD"]
    elsewhere = {*evidence.captures, *evidence.journals, *sold} - evidence.orders.keys()
    known = {row[0] for row in await audit.rows(ORDERS, KNOWN_ORDERS, {"ids": sorted(elsewhere)})}
    for order_id in elsewhere - known:
        problems[f"stray {order_id}"] = f"money or stock moved for order {order_id!r}, which does not exist"
    for order_id in evidence.journals.keys() - evidence.captures.keys() - evidence.orders.keys():
        # Captured after the captures were read, unless it is there at the second look, too.
        problems[f"uncaptured {order_id}"] = f"a journal is posted for {order_id} but nothing is captured"
    return problems
