"""`LedgerService` as its callers see it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from florin.ledger.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc

from kit.rpc import Server, Servicer
from kit.store.batch import Gatherer
from kit.values.clock import system_clock
from kit.values.ids import new_id
from ledger_svc.application.post_journals import Request, post_requests
from ledger_svc.domain.journal import Posting
from ledger_svc.transport.grpc import LedgerServicer
from tests.integration.ledger_svc.books import Ledger

OPS = (("x-florin-subject", "ops"), ("x-florin-role", "ops"))
MERCHANT = (("x-florin-subject", "m"), ("x-florin-role", "merchant"), ("x-florin-merchant", "mer_1"))

Result = ledger_service_pb2.PostingResult


@pytest.fixture
async def stub(ledger: Ledger) -> AsyncIterator[ledger_service_pb2_grpc.LedgerServiceAsyncStub]:
    """A client of a running server."""

    async def post(requests: list[Request]) -> list[list[Posting] | Exception]:
        return await post_requests(ledger.ledger.post_together, requests)

    desk = Gatherer(post, name="journals")
    desk.start()
    servicer = LedgerServicer(
        desk=desk, read_balance=ledger.ledger.balance, new_id=new_id, clock=system_clock
    )
    register = ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server
    server = Server(
        host="127.0.0.1", port=0, servicers=[Servicer("florin.ledger.v1.LedgerService", register, servicer)]
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield ledger_service_pb2_grpc.LedgerServiceStub(channel)
    await server.stop()
    await desk.stop()


def message(key: str, amount: int = 500) -> ledger_pb2.Journal:
    return ledger_pb2.Journal(
        business_key=key,
        kind="test",
        entries=[
            ledger_pb2.Entry(account="card:cus_1:EUR", amount=-amount),
            ledger_pb2.Entry(account="merchant:mer_1:EUR", amount=amount),
        ],
    )


async def test_each_journal_is_answered_in_order(
    stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub,
) -> None:
    crooked = message("evt_2")
    crooked.entries[0].amount = -499
    request = ledger_service_pb2.PostJournalsRequest(journals=[message("evt_1"), crooked, message("evt_1")])
    answer = await stub.PostJournals(request, metadata=OPS)
    assert [result.code for result in answer.results] == [
        Result.POSTED,
        Result.UNBALANCED,
        Result.POSTED_BEFORE,
    ]
    assert answer.results[0].journal_id == answer.results[2].journal_id != ""


async def test_a_balance_is_seen_by_ops_and_by_the_merchant_it_belongs_to(
    stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub,
) -> None:
    await stub.PostJournals(ledger_service_pb2.PostJournalsRequest(journals=[message("evt_1")]), metadata=OPS)
    wanted = ledger_service_pb2.GetBalanceRequest(account="merchant:mer_1:EUR")
    for caller in (OPS, MERCHANT):
        balance = await stub.GetBalance(wanted, metadata=caller)
        assert (balance.posted, balance.currency, balance.entry_count) == (500, "EUR", 1)


@pytest.mark.parametrize(
    ("account", "caller", "code"),
    [
        ("merchant:nobody:EUR", OPS, grpc.StatusCode.NOT_FOUND),
        ("merchant:mer_2:EUR", MERCHANT, grpc.StatusCode.PERMISSION_DENIED),
        ("bank:florin:EUR", MERCHANT, grpc.StatusCode.PERMISSION_DENIED),
        ("merchant:mer_1:EUR", (), grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_what_is_not_yours_or_not_there(
    stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub,
    account: str,
    caller: tuple[tuple[str, str], ...],
    code: grpc.StatusCode,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetBalance(ledger_service_pb2.GetBalanceRequest(account=account), metadata=caller)
    assert refused.value.code() is code


async def test_only_ops_may_post(stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PostJournals(
            ledger_service_pb2.PostJournalsRequest(journals=[message("evt_1")]), metadata=MERCHANT
        )
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_journal_that_cannot_be_answered_is_refused_with_its_fields(
    stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub,
) -> None:
    bad = message("", amount=10**15 + 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PostJournals(ledger_service_pb2.PostJournalsRequest(journals=[bad]), metadata=OPS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "journals[0].business_key" in (refused.value.details() or "")
    assert "journals[0].entries" in (refused.value.details() or "")


async def test_a_call_is_bounded_in_all_its_entries(
    stub: ledger_service_pb2_grpc.LedgerServiceAsyncStub,
) -> None:
    large = message("evt_1")
    large.entries.extend([large.entries[0]] * 998)
    journals = [large] * 11
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PostJournals(ledger_service_pb2.PostJournalsRequest(journals=journals), metadata=OPS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "10,000 entries together" in str(refused.value.details())
