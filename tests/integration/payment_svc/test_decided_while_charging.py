"""A person decides a payment as failed while replicas are about to charge it: one of them comes first."""

from __future__ import annotations

import asyncio

from florin.payment.v1.payment_events_pb2 import PaymentCaptured, PaymentFailed

from kit.messaging.step import Step
from kit.values.clock import system_clock
from kit.values.errors import FlorinError
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.decide.decide_payments import decide_payments
from payment_svc.application.lookup.look_up_payments import LookUps
from payment_svc.application.ports import Psp
from payment_svc.application.psp_calls import MAX_CHARGES, PspCalls
from payment_svc.domain.payment import Payment, PspFact, Status
from payment_svc.domain.schedule import LEAVE_TO_CALL_S
from tests.integration.payment_svc.conftest import Till, captured
from tests.integration.payment_svc.test_decide import ask, decide, decision, never_heard, reason_of, unknown
from tests.support.waiting import eventually
from tests.unit.payment_svc.test_charger import FakePsp

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class SlowPsp(FakePsp):
    """A PSP that has nothing, and takes the money when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_find = asyncio.Event()
        self.may_charge = asyncio.Event()

    async def find(self, payment: Payment) -> PspFact | None:
        self.asked.append(("find", payment.id))
        await self.may_find.wait()
        return None

    async def charge(self, payment: Payment) -> PspFact:
        self.asked.append(("charge", payment.id))
        await self.may_charge.wait()
        return captured(payment)

    async def is_asked(self, what: str, payment: Payment) -> None:
        """Wait until it is asked something about a payment."""
        await eventually(lambda: (what, payment.id) in self.asked, f"{payment.id}: {what}")

    @property
    def taken(self) -> list[str]:
        """The payments that it was asked to charge."""
        return [payment_id for what, payment_id in self.asked if what == "charge"]


class Replica:
    """One of several processes of the service, before a PSP."""

    def __init__(self, till: Till, psp: SlowPsp) -> None:
        self._till = till
        psps: dict[str, Psp] = {"stripe": psp}
        self.calls = PspCalls()
        self.charger = Charger(psps, self.calls, self._learn, self.take_leave)
        self._look_ups = LookUps(
            psps, till.reader, self.calls, self.charger, clock=system_clock, action_ttl_s=900
        )

    async def _learn(self, fact: PspFact) -> Payment | None:
        await self._till.learn(fact)
        return await self._till.payment(fact.payment_id)

    async def take_leave(self, payment: Payment) -> bool:
        [may] = await self._till.reader.take_leave([payment], {"stripe": FakePsp.key_lifetime})
        return may

    async def look_up(self, payment: Payment) -> None:
        """Begin to look a payment up."""
        await self._till.make_due(payment)
        assert await self._look_ups.look_up_due() == 1

    async def idle(self) -> None:
        """Wait until no call is under way."""
        await eventually(lambda: self.calls.under_way == 0, "calls are over")


async def test_a_look_up_that_finds_nothing_charges_nothing_that_was_decided_meanwhile(till: Till) -> None:
    """Reviewed: told as failed, then captured, with the stock gone and nothing given back."""
    payment, psp, ops = await unknown(till), SlowPsp(), FakePsp(found=None)
    replica = Replica(till, psp)
    await replica.look_up(payment)
    await psp.is_asked("find", payment)

    word = await ask(till, payment.id, ops)
    [refused] = await decide(till, decision(payment, Status.FAILED, word))
    assert reason_of(refused) == "PSP_SAYS_OTHERWISE", "the key protects a charge that may still come"
    [decided] = await decide(till, decision(payment, Status.FAILED, word, against_psp=True))
    assert isinstance(decided, Payment)

    psp.may_find.set()
    psp.may_charge.set()
    await replica.idle()
    assert psp.taken == []
    assert [type(said) for said in till.said()] == [PaymentFailed]
    assert (await till.payment(payment.id)).status is Status.FAILED


async def test_nothing_is_decided_as_failed_while_a_replica_may_be_charging(till: Till) -> None:
    payment, psp = await unknown(till), SlowPsp()
    replica = Replica(till, psp)
    psp.may_find.set()
    await replica.look_up(payment)
    await psp.is_asked("charge", payment)
    for against_psp in (False, True):
        wish = decision(payment, Status.FAILED, never_heard(payment), against_psp=against_psp)
        [refused] = await decide(till, wish)
        assert reason_of(refused) == "CALL_UNDER_WAY"
        assert isinstance(refused, FlorinError)
        assert refused.retry_after_s == LEAVE_TO_CALL_S
    psp.may_charge.set()
    await replica.idle()
    assert [type(said) for said in till.said()] == [PaymentCaptured]


async def test_a_first_charge_may_be_under_way_from_the_moment_it_is_on_record(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    [refused] = await decide(till, decision(payment, Status.FAILED, against_psp=True))
    assert reason_of(refused) == "CALL_UNDER_WAY"


async def test_a_first_charge_that_waits_for_its_slot_is_not_made_once_it_is_decided(till: Till) -> None:
    psp = SlowPsp()
    replica = Replica(till, psp)
    before = await till.begin(*(f"ord_{number}" for number in range(MAX_CHARGES)))
    now_s = asyncio.get_running_loop().time()
    replica.charger.charge(before, recorded_s=now_s)
    await eventually(lambda: len(psp.taken) == MAX_CHARGES, "all slots are taken")
    [payment] = await till.begin("ord_last")
    replica.charger.charge([payment], recorded_s=now_s - LEAVE_TO_CALL_S)
    await till.let_leave_pass(payment)
    [decided] = await decide(till, decision(payment, Status.FAILED, against_psp=True))
    assert isinstance(decided, Payment)
    psp.may_charge.set()
    await replica.idle()
    assert payment.id not in psp.taken
    assert (await till.payment(payment.id)).status is Status.FAILED


async def test_who_would_charge_waits_for_a_decision_that_is_being_made(till: Till) -> None:
    payment, replica = await unknown(till), Replica(till, SlowPsp())
    has_read, may_write = asyncio.Event(), asyncio.Event()

    async def body(step: Step) -> None:
        await till.scope(step).payments.lock([payment.id])
        has_read.set()
        await may_write.wait()
        _, events = await decide_payments(till.scope(step), [decision(payment, Status.FAILED)])
        step.emit(events)

    deciding = asyncio.create_task(till.runtime.steps.take(body))
    await has_read.wait()
    leave = asyncio.create_task(replica.take_leave(payment))
    await _somebody_waits(till)
    may_write.set()
    await deciding
    assert not await leave


async def test_who_would_decide_waits_for_the_leave_that_is_being_taken(till: Till) -> None:
    payment = await unknown(till)
    async with till.runtime.database.connection() as connection, connection.transaction():
        # What `take_leave` does, held up before its commit.
        await connection.execute("SELECT FROM payments WHERE id = %s FOR UPDATE", (payment.id,))
        await connection.execute(
            "UPDATE attempts SET call_until = now() + interval '16 s' WHERE payment_id = %s", (payment.id,)
        )
        deciding = asyncio.create_task(decide(till, decision(payment, Status.FAILED, against_psp=True)))
        await _somebody_waits(till)
    [refused] = await deciding
    assert reason_of(refused) == "CALL_UNDER_WAY"


async def test_leave_is_given_only_for_what_nothing_is_known_of(till: Till) -> None:
    ended, known, old, open_ = [await unknown(till, f"ord_{number}") for number in range(4)]
    await till.learn(captured(ended))
    await till.learn(
        PspFact(known.id, Status.PROCESSING, captured(known).source, "stripe", psp_reference="pi_k")
    )
    await till.make_older(old, FakePsp.key_lifetime)
    lifetimes = {"stripe": FakePsp.key_lifetime}
    assert await till.reader.take_leave([ended, known, old, open_], lifetimes) == [False, False, False, True]


async def _somebody_waits(till: Till) -> None:
    async def is_so() -> bool:
        return await till.rows(WAITING) == [(1,)]

    await eventually(is_so, "somebody waits for a lock")
