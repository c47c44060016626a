"""`florin.ledger.v1.LedgerService`: from messages to use cases and back."""

from __future__ import annotations

from typing import Any

import grpc.aio
from florin.ledger.v1 import ledger_pb2, ledger_service_pb2, ledger_service_pb2_grpc

from kit.rpc import Role, current_call
from kit.rpc.reasons import NOT_YOURS
from kit.store.batch import Gatherer
from kit.values.clock import Clock
from kit.values.errors import NotFound, PermissionDenied
from kit.values.ids import NewId
from ledger_svc.application.ports import ReadBalance
from ledger_svc.application.post_journals import Request
from ledger_svc.domain.accounts import belongs_to_merchant
from ledger_svc.domain.journal import Posting
from ledger_svc.domain.reasons import ACCOUNT_NOT_FOUND
from ledger_svc.transport.messages import balance_message, journals_of, results_message

Context = grpc.aio.ServicerContext[Any, Any]
Desk = Gatherer[Request, list[Posting]]


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Answers the ledger service's calls."""

    def __init__(self, *, desk: Desk, read_balance: ReadBalance, new_id: NewId, clock: Clock) -> None:
        self._desk = desk
        self._read_balance = read_balance
        self._new_id = new_id
        self._clock = clock

    async def PostJournals(
        self, request: ledger_service_pb2.PostJournalsRequest, context: Context
    ) -> ledger_service_pb2.PostJournalsResponse:
        journals = journals_of(request.journals, self._new_id, self._clock)
        return results_message(await self._desk.submit(journals))

    async def GetBalance(
        self, request: ledger_service_pb2.GetBalanceRequest, context: Context
    ) -> ledger_pb2.Balance:
        call = current_call()
        if call.principal.role is Role.MERCHANT and not belongs_to_merchant(
            request.account, call.merchant_id
        ):
            raise PermissionDenied(NOT_YOURS, "a merchant sees the accounts of that merchant only")
        balance = await self._read_balance(request.account)
        if balance is None:
            raise NotFound(ACCOUNT_NOT_FOUND, f"nothing was ever posted to {request.account!r}")
        return balance_message(balance)
