"""A payment is charged once; whatever stays unknown is asked for before it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.lookup.look_up_payments import LookUps
from payment_svc.application.ports import Psp, PspKeySpent, PspRejected, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import MAX_CHARGES, MAX_LOOK_UPS, PspCalls
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from payment_svc.domain.schedule import LEAVE_TO_CALL_S, LONGEST_CALL_S
from tests.support.waiting import eventually
from tests.unit.payment_svc.payments import LATER, fact, payment

CAPTURED = fact(Status.CAPTURED, source=Source.ANSWER)
FOUND = fact(Status.CAPTURED, source=Source.LOOKUP)
VOIDED = fact(Status.VOIDED, source=Source.LOOKUP)
WAITS = fact(Status.REQUIRES_ACTION, source=Source.LOOKUP)
ACTION_TTL = timedelta(minutes=15)


@dataclass
class FakePsp:
    """A PSP that answers as it was told, and remembers what it was asked."""

    name: str = "stripe"
    key_lifetime: timedelta = timedelta(hours=23)
    charged: PspFact | Exception = CAPTURED
    found: PspFact | Exception | None = None
    cancelled: PspFact | Exception = VOIDED
    asked: list[tuple[str, str]] = field(default_factory=list)
    answers: asyncio.Event | None = None
    found_by_id: dict[str, PspFact] = field(default_factory=dict)

    async def charge(self, payment: Payment) -> PspFact:
        self.asked.append(("charge", payment.current.psp_key))
        if self.answers is not None:
            await self.answers.wait()
        if isinstance(self.charged, Exception):
            raise self.charged
        return replace(self.charged, payment_id=payment.id)

    async def find(self, payment: Payment) -> PspFact | None:
        self.asked.append(("find", payment.id))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found_by_id.get(payment.id, self.found)

    async def cancel(self, payment: Payment) -> PspFact:
        self.asked.append(("cancel", payment.id))
        if isinstance(self.cancelled, Exception):
            raise self.cancelled
        return self.cancelled


@dataclass
class FakeReader:
    """Payments whose time to be looked up has come."""

    due: Sequence[Payment] = ()
    claims: list[tuple[int, float]] = field(default_factory=list)

    async def get(self, payment_id: str) -> Payment | None:
        raise AssertionError("a charger does not read single payments")

    async def take_leave(
        self, payments: Sequence[Payment], key_lifetimes: Mapping[str, timedelta]
    ) -> Sequence[bool]:
        raise AssertionError("a charger is given its own way to take leave")

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        self.claims.append((limit, lease_s))
        claimed, self.due = self.due[:limit], self.due[limit:]
        return list(claimed)


class Till:
    """A charger between a fake PSP and a list of what was learnt."""

    def __init__(self) -> None:
        self.psp = FakePsp()
        self.reader = FakeReader()
        self.learnt: list[PspFact] = []
        self.refusal: Exception | None = None
        self.age = timedelta(minutes=1)
        self.waited_s = 0.0
        self.calls = PspCalls()
        self.known: dict[str, Payment] = {}
        psps: dict[str, Psp] = {"stripe": self.psp}
        self.may_charge = True
        self.asked_leave: list[str] = []
        self.charger = Charger(psps, self.calls, self._learn, self._take_leave)
        self.look_ups = LookUps(
            psps,
            self.reader,
            self.calls,
            self.charger,
            clock=lambda: payment().created_at + self.age,
            action_ttl_s=ACTION_TTL.total_seconds(),
        )

    async def _learn(self, fact: PspFact) -> Payment | None:
        if self.refusal is not None:
            raise self.refusal
        self.learnt.append(fact)
        self.known[fact.payment_id] = self.known[fact.payment_id].learn(fact, LATER)
        return self.known[fact.payment_id]

    async def _take_leave(self, payment: Payment) -> bool:
        self.asked_leave.append(payment.current.psp_key)
        return self.may_charge

    async def charge(self, *payments: Payment) -> None:
        self.begin(*payments)
        await self.idle()

    def begin(self, *payments: Payment) -> None:
        self.known |= {payment.id: payment for payment in payments}
        self.charger.charge(payments, recorded_s=asyncio.get_running_loop().time() - self.waited_s)

    async def sweep(self, *due: Payment) -> int:
        self.known |= {payment.id: payment for payment in due}
        self.reader.due = due
        count = await self.look_ups.look_up_due()
        await self.idle()
        return count

    async def idle(self) -> None:
        await eventually(lambda: self.calls.under_way == 0, "no call is under way")


@pytest.fixture
def till() -> Till:
    return Till()


async def test_an_answer_is_learnt(till: Till) -> None:
    await till.charge(payment())
    assert till.learnt == [CAPTURED]
    assert till.psp.asked == [("charge", "pay_1:charge:1")]


async def test_no_answer_makes_the_payment_unknown_and_nothing_else(till: Till) -> None:
    till.psp.charged = PspUndecided("time-out")
    await till.charge(payment())
    assert till.learnt == [PspFact("pay_1", Status.UNKNOWN, Source.ANSWER, "stripe", attempt=1)]
    assert len(till.psp.asked) == 1


async def test_a_psp_that_did_not_look_at_it_changes_nothing(till: Till) -> None:
    till.psp.charged = PspUnavailable("429")
    await till.charge(payment())
    assert till.learnt == []


async def test_the_sweep_asks_first_and_learns_what_it_finds(till: Till) -> None:
    till.psp.found = FOUND
    assert await till.sweep(payment(Status.UNKNOWN)) == 1
    assert till.psp.asked == [("find", "pay_1")]
    assert till.learnt == [FOUND]


async def test_what_the_psp_never_heard_of_is_charged_under_the_same_key(till: Till) -> None:
    till.psp.found = None
    await till.sweep(payment(Status.UNKNOWN))
    assert till.psp.asked == [("find", "pay_1"), ("charge", "pay_1:charge:1")]
    assert till.learnt == [CAPTURED]


@pytest.mark.parametrize("failure", [PspUndecided("time-out"), PspUnavailable("503")])
async def test_a_look_up_without_an_answer_decides_nothing(till: Till, failure: Exception) -> None:
    till.psp.found = failure
    await till.sweep(payment(Status.UNKNOWN))
    assert till.psp.asked == [("find", "pay_1")], "above all it is not charged again"
    assert till.learnt == []


async def test_an_idle_sweep_asks_nobody(till: Till) -> None:
    assert await till.sweep() == 0
    assert till.psp.asked == []
    [(limit, lease_s)] = till.reader.claims
    assert limit == MAX_LOOK_UPS
    assert lease_s > 12, "longer than a look-up and a charge may take"


async def test_a_fact_that_cannot_be_stored_now_leaves_it_to_the_sweep(till: Till) -> None:
    till.refusal = Exhausted(TOO_MANY_WAITING, "too many facts wait")
    await till.charge(payment())
    till.refusal = None
    till.psp.found = FOUND
    await till.sweep(payment())
    assert till.learnt == [FOUND]


async def test_a_sweep_begins_as_many_look_ups_as_there_are_slots(till: Till) -> None:
    till.psp.found = FOUND
    payments = [payment(Status.UNKNOWN, id=f"pay_{number}") for number in range(MAX_LOOK_UPS + 3)]
    till.psp.found_by_id = {each.id: replace(FOUND, payment_id=each.id) for each in payments}
    assert await till.sweep(*payments) == MAX_LOOK_UPS
    assert len(till.learnt) == MAX_LOOK_UPS
    assert await till.sweep(*till.reader.due) == 3


async def test_a_payment_that_is_being_asked_for_is_not_asked_for_twice(till: Till) -> None:
    till.psp.found = FOUND
    till.begin(payment())
    assert await till.sweep(payment()) == 0
    assert till.psp.asked == [("charge", "pay_1:charge:1")]


async def test_look_ups_go_on_while_every_slot_for_charges_is_taken(till: Till) -> None:
    till.psp.answers = asyncio.Event()
    till.psp.found = FOUND
    till.begin(*(payment(id=f"pay_c{number}") for number in range(2 * MAX_CHARGES)))
    till.known["pay_1"] = till_due = payment(Status.UNKNOWN)
    till.reader.due = [till_due]
    assert await till.look_ups.look_up_due() == 1
    await eventually(lambda: till.learnt == [FOUND], "it is looked up")
    assert len([call for call, _ in till.psp.asked if call == "charge"]) == MAX_CHARGES
    till.psp.answers.set()


async def test_a_stop_waits_for_what_has_begun_and_begins_nothing_else(till: Till) -> None:
    till.psp.answers = asyncio.Event()
    payments = [payment(id=f"pay_{number}") for number in range(2 * MAX_CHARGES)]
    till.begin(*payments)
    await eventually(lambda: len(till.psp.asked) == MAX_CHARGES, "all slots are taken")
    stopping = asyncio.create_task(till.calls.finish())
    await asyncio.sleep(0)
    till.psp.answers.set()
    await stopping
    assert len(till.learnt) == len(till.psp.asked) == MAX_CHARGES


async def test_a_payment_at_a_psp_that_is_not_configured_here_is_left_alone(till: Till) -> None:
    """The PSP that is would say that it has never heard of it, and would charge it a second time."""
    till.psp.found = None
    with capture_logs() as logs:
        await till.sweep(payment(Status.UNKNOWN, psp="adyen"))
    assert till.psp.asked == []
    assert till.learnt == []
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "payment.psp_not_configured"
    ]


async def test_a_charge_that_is_rejected_at_once_fails_the_payment(till: Till) -> None:
    till.psp.charged = PspRejected("no such payment method")
    await till.charge(payment())
    [rejected] = till.learnt
    assert (rejected.status, rejected.reason) == (Status.FAILED, "rejected_by_psp")


async def test_a_call_that_is_rejected_after_one_without_an_answer_proves_that_nothing_ran(
    till: Till,
) -> None:
    """Under a key that the PSP remembers: had the first call done anything, that would be the answer."""
    till.psp.charged = PspRejected("no such payment method")
    await till.sweep(payment(Status.UNKNOWN))
    assert till.known["pay_1"].status is Status.FAILED
    assert till.known["pay_1"].current.reason == "rejected_by_psp"


async def test_a_payment_just_put_on_record_is_charged_without_asking_again(till: Till) -> None:
    await till.charge(payment())
    assert (till.psp.asked, till.asked_leave) == ([("charge", "pay_1:charge:1")], [])


@pytest.mark.parametrize("may_charge", [True, False])
async def test_any_other_charge_takes_leave_first(till: Till, may_charge: bool) -> None:
    till.may_charge = may_charge
    till.waited_s = LEAVE_TO_CALL_S - LONGEST_CALL_S
    await till.charge(payment())
    await till.sweep(payment(Status.UNKNOWN, id="pay_2"))
    assert till.asked_leave == ["pay_1:charge:1", "pay_2:charge:1"]
    charged = [("charge", "pay_1:charge:1"), ("charge", "pay_2:charge:1")]
    assert [call for call in till.psp.asked if call[0] == "charge"] == (charged if may_charge else [])


async def test_after_its_key_is_forgotten_a_payment_is_not_charged_again(till: Till) -> None:
    till.age = till.psp.key_lifetime + timedelta(seconds=1)
    await till.sweep(payment(Status.UNKNOWN))
    assert till.psp.asked == [("find", "pay_1")]


async def test_a_buyer_may_take_their_time_but_not_for_ever(till: Till) -> None:
    till.psp.found = WAITS
    await till.sweep(payment(Status.REQUIRES_ACTION))
    assert till.learnt == [WAITS]
    till.age = ACTION_TTL + timedelta(seconds=1)
    await till.sweep(payment(Status.REQUIRES_ACTION))
    assert till.psp.asked[-1] == ("cancel", "pay_1")
    ended = till.known["pay_1"]
    assert (ended.status, ended.current.reason) == (Status.FAILED, "authentication_expired")


async def test_a_decline_is_cancelled_at_the_psp_before_it_is_a_failure(till: Till) -> None:
    till.psp.charged = fact(Status.FAILED, source=Source.ANSWER, still_payable=True)
    till.psp.cancelled = PspUndecided("time-out")
    await till.charge(payment())
    assert till.psp.asked == [("charge", "pay_1:charge:1"), ("cancel", "pay_1")]
    declined = till.known["pay_1"]
    assert (declined.status, declined.current.state) == (Status.PROCESSING, State.CLOSING)
    till.psp.cancelled = VOIDED
    await till.sweep(declined)
    assert till.psp.asked[2:] == [("cancel", "pay_1")]
    assert till.known["pay_1"].status is Status.FAILED


async def test_a_spent_key_is_looked_for_and_then_another_one_charged(till: Till) -> None:
    till.psp.charged = PspKeySpent("500 again")
    await till.sweep(payment(Status.UNKNOWN))
    spent = till.known["pay_1"]
    assert (spent.status, spent.current.state) == (Status.UNKNOWN, State.SPENT)
    till.psp.charged = CAPTURED
    await till.sweep(spent)
    assert till.psp.asked[-2:] == [("find", "pay_1"), ("charge", "pay_1:charge:2")]
    assert till.known["pay_1"].status is Status.CAPTURED


async def test_a_spent_key_that_has_left_something_is_not_followed_by_another(till: Till) -> None:
    till.psp.found = fact(Status.FAILED, source=Source.LOOKUP, reason="never_confirmed", still_payable=True)
    await till.sweep(payment(Status.UNKNOWN, state=State.SPENT))
    assert till.psp.asked == [("find", "pay_1"), ("cancel", "pay_1")]
    ended = till.known["pay_1"]
    assert (ended.status, ended.current.reason) == (Status.FAILED, "never_confirmed")


async def test_a_look_up_without_an_answer_does_not_lead_to_another_key(till: Till) -> None:
    till.psp.found = PspUndecided("time-out")
    await till.sweep(payment(Status.UNKNOWN, state=State.SPENT))
    assert till.psp.asked == [("find", "pay_1")]
    assert till.learnt == []
