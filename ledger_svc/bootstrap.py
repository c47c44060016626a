"""Builds the ledger service: the only place that knows all its parts."""

from __future__ import annotations

from collections.abc import Sequence

from florin.ledger.v1 import ledger_service_pb2_grpc

from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.rpc import Server, Servicer
from kit.runtime.service import Runtime
from kit.store.batch import Gatherer
from kit.values.clock import system_clock
from kit.values.ids import new_id
from ledger_svc.adapters.postgres.books import PostgresBooks, PostgresLedger
from ledger_svc.application.close_books import close_books
from ledger_svc.application.ports import Scope
from ledger_svc.application.post_journals import Request, post_requests
from ledger_svc.domain.journal import Posting
from ledger_svc.settings import Settings
from ledger_svc.transport.events import EMITS, SUBSCRIPTIONS
from ledger_svc.transport.grpc import LedgerServicer

NAME = "ledger_svc"


def scope(step: Step) -> Scope:
    """Return what a use case is given for one step."""
    return Scope(PostgresBooks(step.connection), new_id)


async def build(settings: Settings) -> Runtime:
    """Return the ledger service, ready to serve."""
    runtime = Runtime.build(NAME, settings, EMITS)
    ledger = PostgresLedger(runtime.database)

    async def post(requests: list[Request]) -> Sequence[list[Posting] | Exception]:
        return await post_requests(ledger.post_together, requests)

    async def close() -> int:
        return await close_books(ledger.close_stretch, ledger.open_halts)

    desk = Gatherer(post, name="journals", linger_s=settings.posting_linger_ms / 1000)
    pump = Pump(
        bus=runtime.bus,
        steps=runtime.steps,
        consumer=NAME,
        subscriptions=SUBSCRIPTIONS,
        scope=scope,
        new_id=new_id,
        linger_s=settings.event_linger_ms / 1000,
        replica=settings.replica,
    )
    server = Server(
        host=settings.bind_host,
        port=settings.port,
        servicers=[
            Servicer(
                "florin.ledger.v1.LedgerService",
                ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
                LedgerServicer(desk=desk, read_balance=ledger.balance, new_id=new_id, clock=system_clock),
            )
        ],
    )
    runtime.worker("pump", pump.run)
    runtime.every("books.close", settings.closing_interval_s, close)
    runtime.gather(desk)
    runtime.serve_grpc(server)
    return runtime
