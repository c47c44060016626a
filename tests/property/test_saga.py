"""Whatever the network, the PSP and the buyers do, every checkout ends, and everybody agrees on how.

A hypothesis state machine drives the services' own use cases with events that come late, twice, out of
order or not at all, with a PSP whose answers get lost and whose webhooks do as they like, and with processes
that die between two steps. What must always hold is checked after every move, what must hold in the end once
all faults have stopped.
"""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payment_svc.domain.payment import Status
from tests.property.saga.psp import Card, Fate
from tests.property.saga.system import CAST, PRICES, System, key_of

CARTS = st.dictionaries(st.sampled_from(sorted(PRICES)), st.integers(1, 2), min_size=1)
# Most steps end well; one in five is the last of its process.
DIES = st.integers(0, 4).map(lambda number: number == 4)
# Few orders at a time, so that each of them gets far: more would only wait for the stock of the first.
MOST_ORDERS = 6


class Saga(RuleBasedStateMachine):
    """A shop on a bad day."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.system = System(self.loop)

    @initialize(
        units=st.fixed_dictionaries({sku: st.sampled_from([12, 6, 3, 1, 0]) for sku in PRICES}),
        pace=st.permutations(CAST),
        fates=st.lists(st.sampled_from(Fate), max_size=20),
    )
    def the_shop_opens(self, units: dict[str, int], pace: list[str], fates: list[Fate]) -> None:
        self.system.pace = pace
        self.system.fates = fates
        for sku, delivered in units.items():
            self.system.stock.receive(key_of(sku), delivered)

    # Buyers.

    @precondition(lambda self: len(self.system.orders.by_id) < MOST_ORDERS)
    @rule(carts=st.lists(st.tuples(CARTS, st.sampled_from(Card)), min_size=1, max_size=3))
    def orders_are_placed(self, carts: list[tuple[dict[str, int], Card]]) -> None:
        for cart, card in carts:
            self.system.place(cart, card)

    @precondition(lambda self: self.system.psp.waiting())
    @rule(data=st.data(), paid=st.booleans())
    def a_buyer_or_a_bank_decides(self, data: st.DataObject, paid: bool) -> None:
        self.system.psp.decide(data.draw(st.sampled_from(self.system.psp.waiting())), paid=paid)

    @precondition(lambda self: self.system.psp.still_payable())
    @rule(data=st.data())
    def what_was_declined_or_never_confirmed_is_paid_after_all(self, data: st.DataObject) -> None:
        self.system.psp.decide(data.draw(st.sampled_from(self.system.psp.still_payable())), paid=True)

    # The bus.

    @precondition(lambda self: self.system.bus.under_way)
    @rule()
    def everything_arrives(self) -> None:
        self.system.deliver_all()

    @precondition(lambda self: self.system.bus.under_way)
    @rule(data=st.data(), dies=DIES)
    def a_batch_arrives(self, data: st.DataObject, dies: bool) -> None:
        """Any events of one consumer, in any order; perhaps it dies before it can publish and confirm."""
        consumer = data.draw(st.sampled_from(sorted({p.consumer for p in self.system.bus.under_way})))
        mine = [parcel for parcel in self.system.bus.under_way if parcel.consumer == consumer]
        batch = data.draw(st.permutations(mine))[: data.draw(st.integers(1, len(mine)))]
        self.system.deliver(batch, dies_after_commit=dies)

    @precondition(lambda self: self.system.bus.under_way)
    @rule(data=st.data())
    def an_event_comes_twice(self, data: st.DataObject) -> None:
        self.system.bus.send([data.draw(st.sampled_from(self.system.bus.under_way))])

    @precondition(lambda self: self.system.bus.under_way)
    @rule()
    def the_broker_loses_everything(self) -> None:
        self.system.bus.under_way.clear()

    @rule()
    def unconfirmed_events_are_sent_again(self) -> None:
        self.system.bus.resend()

    # The PSP.

    @precondition(lambda self: self.system.psp.calls)
    @rule(data=st.data())
    def calls_meet_their_fates(self, data: st.DataObject) -> None:
        """Some of those under way, in any order."""
        for _ in range(data.draw(st.integers(1, len(self.system.psp.calls)))):
            index = data.draw(st.integers(0, len(self.system.psp.calls) - 1))
            self.system.answer_call(index, data.draw(st.sampled_from(Fate)))

    @precondition(lambda self: self.system.psp.webhooks)
    @rule(data=st.data())
    def webhooks_arrive(self, data: st.DataObject) -> None:
        """Any of them, in any order, and perhaps not for the last time."""
        webhooks = st.lists(st.sampled_from(self.system.psp.webhooks), min_size=1, max_size=4)
        self.system.deliver_webhooks(data.draw(webhooks))

    @precondition(lambda self: self.system.psp.webhooks)
    @rule()
    def webhooks_get_lost_for_ever(self) -> None:
        self.system.psp.webhooks.clear()

    # The payment service by itself.

    @precondition(lambda self: self.system.payments.by_id)
    @rule()
    def undecided_payments_are_looked_up(self) -> None:
        self.system.sweep()

    @precondition(lambda self: self.system.payments.by_id)
    @rule(data=st.data(), outcome=st.sampled_from([Status.FAILED, Status.CAPTURED]), lags=st.booleans())
    def somebody_decides_a_payment(self, data: st.DataObject, outcome: Status, lags: bool) -> None:
        """Whatever the service lets them decide, and while the PSP's search may be behind."""
        payment_id = data.draw(st.sampled_from(sorted(self.system.payments.by_id)))
        self.system.decide(payment_id, outcome, lags=lags)

    @precondition(lambda self: self.system.psp.calls)
    @rule()
    def the_payment_service_dies_in_the_middle_of_its_calls(self) -> None:
        self.system.restart_payment_svc()

    @invariant()
    def what_always_holds(self) -> None:
        self.system.what_always_holds()

    # What holds in the end.

    def teardown(self) -> None:
        try:
            self.system.recover(decide=lambda intent: int(intent.id.removeprefix("pi_")) % 2 == 0)
            self.system.everything_agrees()
            ended = dict(self.system.orders.by_id)
            self.system.hear_everything_again()
            self.system.everything_agrees()
            assert self.system.orders.by_id == ended, "what comes late changes nothing"
        finally:
            self.loop.close()


TestSaga = Saga.TestCase
TestSaga.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
