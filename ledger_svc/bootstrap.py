"""Puts the ledger service together: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from florin.ledger.v1 import ledger_service_pb2_grpc

from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.store.database import Connection
from ledger_svc.adapters.postgres.books import PostgresBooks, PostgresLedger
from ledger_svc.application.close_books import close_books
from ledger_svc.application.ports import Books, Ledger, Scope
from ledger_svc.application.post_journals import post_requests
from ledger_svc.domain import schedule
from ledger_svc.settings import Settings
from ledger_svc.transport.events import SUBSCRIPTIONS
from ledger_svc.transport.grpc import LedgerServicer


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    books: Callable[[Connection], Books] = PostgresBooks,
    ledger: Ledger | None = None,
) -> None:
    """Put the ledger service onto its runtime; what a test gives takes the place of the real thing."""
    ledger = ledger or PostgresLedger(runtime.database)

    def scope(step: Step) -> Scope:
        return Scope(books(step.connection), runtime.new_id)

    desk = runtime.gather(
        "journals", partial(post_requests, ledger.post_together), linger_s=settings.posting_linger_ms / 1000
    )
    servicer = LedgerServicer(
        desk=desk, read_balance=ledger.balance, new_id=runtime.new_id, clock=runtime.clock
    )
    runtime.consume(SUBSCRIPTIONS, scope)
    runtime.every(
        schedule.close_books(settings.closing_interval_s),
        partial(close_books, ledger.close_stretch, ledger.unsealed_s, ledger.open_halts),
    )
    runtime.serve(
        "florin.ledger.v1.LedgerService",
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
        servicer,
    )
