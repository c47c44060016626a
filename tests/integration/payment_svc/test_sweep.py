"""Which payments are looked up, and when."""

from __future__ import annotations

import pytest

from payment_svc.domain.payment import Payment, PspFact, Source, Status
from tests.integration.payment_svc.conftest import Till, captured, challenged, failed, ids

DUE_IN = "SELECT extract(epoch FROM look_up_at - now())::float FROM attempts WHERE payment_id = %s"


async def seconds_until_due(till: Till, payment: Payment) -> float | None:
    [(seconds,)] = await till.rows(DUE_IN, payment.id)
    return None if seconds is None else float(seconds)


async def test_nobody_asks_while_the_answer_may_still_come(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    due = await seconds_until_due(till, payment)
    assert due is not None
    assert 6 < due <= 8, "a call to the PSP takes up to six seconds"
    assert await till.reader.claim_undecided(limit=10, lease_s=15.0) == []


async def test_an_unknown_payment_is_looked_up_at_once(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe"))
    due = await seconds_until_due(till, payment)
    assert due is not None
    assert due <= 0.25


async def test_a_payment_that_stays_unknown_is_given_more_time_after_each_look_up(till: Till) -> None:
    [payment] = await till.begin("ord_1")
    waiting = PspFact(payment.id, Status.PROCESSING, Source.LOOKUP, "stripe", psp_reference="pi_1")
    unknown = PspFact(payment.id, Status.UNKNOWN, Source.ANSWER, "stripe")
    pauses: list[float] = []
    for _ in range(4):
        await till.learn(unknown)
        pauses.append(await seconds_until_due(till, payment) or 0)
        await till.make_due(payment)
        await till.reader.claim_undecided(limit=10, lease_s=15.0)
        await till.learn(waiting)
    assert pauses == pytest.approx([0.25, 0.5, 1, 2], abs=0.2)


@pytest.mark.parametrize("word", [Status.UNKNOWN, Status.PROCESSING, Status.REQUIRES_ACTION])
async def test_every_undecided_payment_is_looked_up_some_time(till: Till, word: Status) -> None:
    """A webhook may never come: paid after the tab was closed, and never an order (saleor-docs #990)."""
    [payment] = await till.begin("ord_1")
    await till.learn(
        challenged(payment)
        if word is Status.REQUIRES_ACTION
        else PspFact(
            payment.id, word, Source.ANSWER, "stripe", psp_reference="" if word is Status.UNKNOWN else "pi_1"
        )
    )
    await till.make_due(payment)
    assert ids(await till.reader.claim_undecided(limit=10, lease_s=15.0)) == {payment.id}


@pytest.mark.parametrize("word", [captured, failed])
async def test_a_decided_payment_is_never_looked_up(till: Till, word: object) -> None:
    [payment] = await till.begin("ord_1")
    await till.learn(captured(payment) if word is captured else failed(payment))
    assert await seconds_until_due(till, payment) is None
    await till.make_due(payment)
    assert await till.reader.claim_undecided(limit=10, lease_s=15.0) == []


@pytest.mark.parametrize("word", [Status.UNKNOWN, Status.REQUIRES_ACTION])
async def test_who_stays_undecided_is_looked_up_less_and_less_often(till: Till, word: Status) -> None:
    [payment] = await till.begin("ord_1")
    asked = PspFact(payment.id, word, Source.ANSWER, "stripe")
    await till.learn(challenged(payment) if word is Status.REQUIRES_ACTION else asked)
    pauses: list[int] = []
    for _ in range(9):
        await till.make_due(payment)
        await till.reader.claim_undecided(limit=10, lease_s=15.0)
        due = await seconds_until_due(till, payment)
        assert due is not None
        pauses.append(round(due))
    assert pauses == [15, 15, 15, 15, 16, 32, 60, 60, 60]
