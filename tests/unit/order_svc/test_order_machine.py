"""Events of one order, in any order and however often, lead to the one end that they tell of."""

from __future__ import annotations

from typing import Any

from florin.common.v1.charge_pb2 import NextAction
from florin.inventory.v1.inventory_events_pb2 import (
    StockRejected,
    StockReleased,
    StockReserved,
    StockSold,
)
from florin.ledger.v1.ledger_events_pb2 import JournalPosted
from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed, PaymentRequiresAction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from order_svc.application.progress.advance_orders import apply_event
from order_svc.domain.order import TRANSITIONS, Order, Status
from tests.unit.order_svc.orders import LATER, order

HELD = StockReserved(order_id="ord_1")
CHALLENGE = PaymentRequiresAction(
    payment_id="pay_1",
    next_action=NextAction(type="redirect_to_url", redirect_url="https://bank.example/1"),
)
SALE = (
    HELD,
    PaymentCaptured(payment_id="pay_1"),
    JournalPosted(payment_id="pay_1", journal_id="jrn_1", kind="payment.captured"),
    JournalPosted(payment_id="pay_1", journal_id="jrn_2", kind="settlement"),
    StockSold(reservation_id="rsv_1"),
)
REFUSAL = (
    HELD,
    PaymentFailed(payment_id="pay_1", reason="card_declined"),
    StockReleased(reason="card_declined"),
)
OUT_OF_STOCK = (StockRejected(reason="out_of_stock"),)
HISTORIES: dict[Status, list[tuple[Any, ...]]] = {
    Status.COMPLETED: [SALE, (*SALE, CHALLENGE)],
    Status.FAILED: [REFUSAL, (*REFUSAL, CHALLENGE), OUT_OF_STOCK],
}


class OneOrder(RuleBasedStateMachine):
    """An order, and the events that tell of one way it went."""

    @initialize(end=st.sampled_from(sorted(HISTORIES, key=lambda end: end.value)), data=st.data())
    def it_went_one_way(self, end: Status, data: st.DataObject) -> None:
        self.end = end
        self.history = data.draw(st.sampled_from(HISTORIES[end]))
        self.order = order()

    @rule(data=st.data())
    def an_event_arrives(self, data: st.DataObject) -> None:
        self.hear(data.draw(st.sampled_from(self.history)))

    def hear(self, event: Any) -> None:
        before = self.order
        self.order = apply_event(before, event, LATER)
        moves = self.order.version - before.version
        if moves == 1:
            assert self.order.status in TRANSITIONS[before.status]
        elif moves == 2:
            # The journal tells of the payment, too: a waiting order goes on, and then ends.
            assert (before.status, self.order.status) == (Status.REQUIRES_ACTION, Status.COMPLETED)
        else:
            assert (moves, self.order.status) == (0, before.status)

    @invariant()
    def what_has_ended_tells_the_truth(self) -> None:
        if hasattr(self, "order") and self.order.ended:
            assert self.order.status is self.end
            assert self.order.ended_at is not None
            self.is_complete_only_with_everything(self.order)

    def is_complete_only_with_everything(self, order: Order) -> None:
        complete = bool(order.journal_id and order.payment_id and order.stock_sold)
        assert complete == (order.status is Status.COMPLETED)
        assert (order.reason == "") == (order.status is Status.COMPLETED)

    def teardown(self) -> None:
        """Once each event has come, the order has ended."""
        if hasattr(self, "order"):
            for event in self.history:
                self.hear(event)
            assert self.order.status is self.end


TestOneOrder = OneOrder.TestCase
