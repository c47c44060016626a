"""What spent keys have left is found however much Stripe has made then, and read once for all that ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payment_svc.adapters.stripe.gateway import StripeGateway
from payment_svc.application.ports import PspUnavailable, PspUndecided
from payment_svc.domain.attempt import State
from payment_svc.domain.payment import Payment, PspFact
from tests.support.waiting import eventually
from tests.unit.payment_svc.payments import LATER, NOON, payment

# What a hundred checkouts a second leave within the time that is looked at.
MANY = 12_100


class BusyStripe(StripeGateway):
    """A gateway before an account with many intents, the newest first."""

    def __init__(self) -> None:
        super().__init__(api_key="sk", base_url="http://127.0.0.1:9", lists_per_s=100_000)
        self.intents = [intent(f"pi_{number}", f"pay_of_others_{number}") for number in range(MANY)]
        self.pages = 0
        self.breaks_at = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def _request(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        await self.goes_on.wait()
        self.pages += 1
        if self.pages == self.breaks_at:
            raise PspUnavailable("500")
        window = params["created"]
        there = [each for each in self.intents if window["gte"] <= each["created"] <= window["lte"]]
        ids = [each["id"] for each in there]
        start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        return {"data": there[start : start + 100], "has_more": len(there) > start + 100}


def intent(id_: str, payment_id: str, status: str = "succeeded") -> dict[str, Any]:
    metadata = {"payment_id": payment_id}
    noon_s = int(NOON.timestamp())
    return {"id": id_, "status": status, "metadata": metadata, "created": noon_s, "currency": "eur"}


def spent(id_: str = "pay_1") -> Payment:
    """Return a payment whose key was found to be spent a second after noon."""
    wanted = payment(id=id_, updated_at=LATER)
    return replace(wanted, attempts=(replace(wanted.current, state=State.SPENT),))


@pytest.fixture
async def busy() -> AsyncIterator[BusyStripe]:
    gateway = BusyStripe()
    yield gateway
    await gateway.close()


async def test_the_end_of_a_long_list_is_reached(busy: BusyStripe) -> None:
    assert await busy.find(spent()) is None
    busy.intents.append(intent("pi_last", "pay_1"))
    found = await busy.find(spent())
    assert found is not None
    assert found.psp_reference == "pi_last"


async def test_a_list_is_read_once_for_all_that_ask(busy: BusyStripe) -> None:
    busy.intents.append(intent("pi_last", "pay_7"))
    found = await asyncio.gather(*(busy.find(spent(f"pay_{number}")) for number in range(20)))
    assert [number for number, fact in enumerate(found) if fact] == [7]
    assert busy.pages == MANY // 100 + 1


async def test_a_reading_that_breaks_goes_on_where_it_was(busy: BusyStripe) -> None:
    busy.breaks_at = 100
    with pytest.raises(PspUnavailable):
        await busy.find(spent())
    assert await busy.find(spent()) is None
    assert busy.pages == MANY // 100 + 1


async def test_who_asks_while_it_is_read_waits_for_the_next_reading(busy: BusyStripe) -> None:
    """What was made after the reading had passed its place must not count as nothing."""
    busy.goes_on.clear()
    first = asyncio.create_task(busy.find(spent()))
    await asyncio.sleep(0)
    second: asyncio.Task[PspFact | None]
    busy.goes_on.set()
    await eventually(lambda: busy.pages > 1, "the first page is read")
    busy.intents.insert(0, intent("pi_new", "pay_2"))
    second = asyncio.create_task(busy.find(spent("pay_2")))
    assert await first is None
    found = await second
    assert found is not None
    assert found.psp_reference == "pi_new"


async def test_a_look_up_does_not_keep_its_slot_while_a_long_list_is_read(
    busy: BusyStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payment_svc.adapters.stripe.listed._PATIENCE_S", 0.0)
    busy.goes_on.clear()
    with pytest.raises(PspUndecided, match="still being read"):
        await busy.find(spent())
    monkeypatch.undo()
    busy.goes_on.set()
    assert await busy.find(spent()) is None
    assert busy.pages == MANY // 100, "what was begun was not begun again"


async def test_only_the_time_of_those_who_ask_is_read(busy: BusyStripe) -> None:
    day_before = intent("pi_old", "pay_1")
    busy.intents = [*busy.intents[:5], day_before | {"created": int((NOON - timedelta(days=1)).timestamp())}]
    old = spent("pay_2")
    early = replace(old.current, started_at=NOON - timedelta(hours=2))
    asked = [spent(), replace(old, attempts=(early,), updated_at=NOON - timedelta(hours=1))]
    assert await asyncio.gather(*(busy.find(each) for each in asked)) == [None, None]
    assert busy.pages == 2, "two times that do not touch, a page each"
