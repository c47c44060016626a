"""A payment is charged once; whatever stays unknown is asked for before it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from kit.store.reasons import TOO_MANY_WAITING
from kit.values.errors import Exhausted
from payment_svc.application.charge.charge_payments import Charger
from payment_svc.application.lookup.look_up_payments import LookUps
from payment_svc.application.ports import PspRejected, PspUnavailable, PspUndecided
from payment_svc.application.psp_calls import MAX_CALLS, PspCalls
from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.unit.payment_svc.payments import fact, payment

CAPTURED = fact(Status.CAPTURED, source=Source.ANSWER)
FOUND = fact(Status.CAPTURED, source=Source.LOOKUP)
VOIDED = fact(Status.VOIDED, source=Source.LOOKUP)
WAITS = fact(Status.REQUIRES_ACTION, source=Source.LOOKUP)
ACTION_TTL = timedelta(minutes=15)


@dataclass
class FakePsp:
    """A PSP that answers as it was told, and remembers what it was asked."""

    name: str = "fake"
    key_lifetime: timedelta = timedelta(hours=23)
    charged: PspFact | Exception = CAPTURED
    found: PspFact | Exception | None = None
    cancelled: PspFact | Exception = VOIDED
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def charge(self, payment: Payment) -> PspFact:
        self.asked.append(("charge", payment.psp_key))
        if isinstance(self.charged, Exception):
            raise self.charged
        return self.charged

    async def find(self, payment: Payment) -> PspFact | None:
        self.asked.append(("find", payment.id))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

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

    async def claim_undecided(self, *, limit: int, lease_s: float) -> list[Payment]:
        self.claims.append((limit, lease_s))
        return list(self.due)


class Till:
    """A charger between a fake PSP and a list of what was learnt."""

    def __init__(self) -> None:
        self.psp = FakePsp()
        self.reader = FakeReader()
        self.learnt: list[PspFact] = []
        self.refusal: Exception | None = None
        self.age = timedelta(minutes=1)
        self.calls = PspCalls()
        self.charger = Charger(self.psp, self.calls, self._learn)
        self.look_ups = LookUps(
            self.psp,
            self.reader,
            self.calls,
            self.charger,
            self._learn,
            clock=lambda: payment().created_at + self.age,
            action_ttl_s=ACTION_TTL.total_seconds(),
        )

    async def _learn(self, fact: PspFact) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.learnt.append(fact)

    async def charge(self, *payments: Payment) -> None:
        self.charger.charge(payments)
        await self.calls.finish()

    async def sweep(self, *due: Payment) -> int:
        self.reader.due = due
        count = await self.look_ups.look_up_due()
        await self.calls.finish()
        return count


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
    assert till.learnt == [PspFact("pay_1", Status.UNKNOWN, Source.ANSWER)]
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
    assert limit == MAX_CALLS
    assert lease_s > 12, "longer than a look-up and a charge may take"


async def test_a_fact_that_cannot_be_stored_now_leaves_it_to_the_sweep(till: Till) -> None:
    till.refusal = Exhausted(TOO_MANY_WAITING, "too many facts wait")
    await till.charge(payment())
    till.refusal = None
    till.psp.found = FOUND
    await till.sweep(payment())
    assert till.learnt == [FOUND]


async def test_a_full_sweep_looks_all_of_them_up(till: Till) -> None:
    till.psp.found = FOUND
    payments = [payment(Status.UNKNOWN, id=f"pay_{number}") for number in range(MAX_CALLS)]
    assert await till.sweep(*payments) == MAX_CALLS
    assert len(till.learnt) == MAX_CALLS


async def test_a_payment_that_is_being_asked_for_is_not_asked_for_twice(till: Till) -> None:
    till.psp.found = FOUND
    till.charger.charge([payment()])
    await till.sweep(payment())
    assert till.psp.asked == [("charge", "pay_1:charge:1")]


async def test_a_charge_that_is_rejected_at_once_fails_the_payment(till: Till) -> None:
    till.psp.charged = PspRejected("no such payment method")
    await till.charge(payment())
    [rejected] = till.learnt
    assert (rejected.status, rejected.reason) == (Status.FAILED, "rejected_by_psp")


async def test_a_repeated_charge_that_is_rejected_decides_nothing(till: Till) -> None:
    till.psp.charged = PspRejected("no such payment method")
    await till.sweep(payment(Status.UNKNOWN))
    assert till.learnt == [], "the first call may have been the one that charged"


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
    assert till.learnt == [WAITS, VOIDED]


async def test_a_payment_that_cannot_be_cancelled_is_looked_up_again(till: Till) -> None:
    till.age, till.psp.found = ACTION_TTL * 2, WAITS
    till.psp.cancelled = PspUndecided("it was paid just now")
    await till.sweep(payment(Status.REQUIRES_ACTION))
    assert till.learnt == []
