"""Payment captured → one balanced journal."""

from __future__ import annotations

from collections.abc import Sequence

from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.payment.v1.payment_events_pb2 import PaymentCaptured

from kit.messaging.events import Aggregate, NewEvent, Received
from ledger_svc.application.ports import Scope
from ledger_svc.domain.journal import Journal, JournalId, JournalRefused, Posting
from ledger_svc.domain.rules.capture import Capture, capture_journal


async def post_captures(scope: Scope, captured: Sequence[Received[PaymentCaptured]]) -> list[NewEvent]:
    """Post a journal for each capture and tell that the books know of it.

    What was posted before is told again: whoever waits for it may have missed the first time.

    Raises:
        JournalRefused: the books do not take one; nothing of the batch is posted.
    """
    journals = [_journal(scope, event) for event in captured]
    postings = await scope.books.post(journals)
    return [
        _posted(event, journal, posting)
        for event, journal, posting in zip(captured, journals, postings, strict=True)
    ]


def _journal(scope: Scope, event: Received[PaymentCaptured]) -> Journal:
    message = event.message
    capture = Capture(
        payment_id=message.payment_id,
        order_id=message.order_id,
        merchant_id=message.merchant_id,
        customer_id=message.customer_id,
        psp=message.psp,
        currency=message.currency,
        amount=message.amount,
        fee_amount=message.fee_amount,
        tax_amount=message.tax_amount,
    )
    return capture_journal(
        capture,
        journal_id=JournalId(scope.new_id("jrn")),
        business_key=event.id,
        effective_at=event.time,
    )


def _posted(event: Received[PaymentCaptured], journal: Journal, posting: Posting) -> NewEvent:
    if not posting.is_in_the_books:
        raise JournalRefused(journal, posting.code)
    message = JournalPosted(
        journal_id=posting.journal_id,
        order_id=journal.order_id,
        payment_id=journal.payment_id,
        kind=journal.kind,
    )
    return NewEvent(message, Aggregate("order", journal.order_id), event.trail)
