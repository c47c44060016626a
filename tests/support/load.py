"""A steady stream of checkouts while something is broken, and what has become of each afterwards."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.support.shop import END_DEADLINE_S, Answer, Json, Order, Shop
from tests.support.waiting import eventually

# Far below what two cores can do, so that what is slow is slow because of the fault.
RATE_PER_S: Final = 25

# So many wait for their 202 at most. On a machine that is slower than the rate, the load would otherwise be
# the fault: whoever comes late waits for all before, and is out of time by then.
_MOST_WAITING: Final = 100

# Every so many checkouts one is declined, so that compensation happens under the fault, too.
_DECLINED_EVERY: Final = 8

# A restart takes some seconds; nobody may be turned away for as long as this.
_ACCEPT_DEADLINE_S: Final = 60.0

# What a caller does not repeat: the request itself is wrong.
_FINAL_REFUSALS: Final = frozenset({400, 401, 403, 404, 422})

_DECLINED: Final = "pm_card_chargeDeclined"


async def insists(shop: Shop, cart: Json, key: str, answers: Counter[int] | None = None) -> Order:
    """A checkout repeated under its key, as a good client does, until it is answered 202."""
    answer = Answer(0)

    async def is_accepted() -> bool:
        nonlocal answer
        answer = await shop.checkout(cart, key=key)
        if answers is not None:
            answers[answer.status] += 1
        assert answer.status not in _FINAL_REFUSALS, answer
        if answer.status == 202:
            return True
        # Not all at once: those who were turned away together would be so again.
        await asyncio.sleep(float(answer.headers.get("retry-after", 0)) * random.uniform(0.1, 1))
        return False

    await eventually(
        is_accepted,
        "the checkout is accepted",
        deadline_s=_ACCEPT_DEADLINE_S,
        seen=lambda: f"but {answer.status} {answer.reason}, after {dict(answers or {})}",
    )
    return Order(answer.body)


@dataclass(slots=True)
class Load:
    """What was offered to a shop.

    Attributes:
        expected: by id of an accepted order, how it has to end, as (status, reason).
        accepted_at: by id of an accepted order, when it was answered 202, in seconds of the epoch.
        answers: how often each HTTP status came; 0 is a broken connection.
    """

    shop: Shop
    sku: str
    expected: dict[str, tuple[str, str]] = field(default_factory=dict)
    accepted_at: dict[str, float] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_WAITING))

    async def offer(self, number: int) -> None:
        """One checkout; it is known beforehand how it has to end."""
        declined = number % _DECLINED_EVERY == 0
        cart = self.shop.cart(self.sku, card=_DECLINED if declined else "pm_card_visa")
        async with self._places:
            order = await insists(self.shop, cart, uuid.uuid4().hex, self.answers)
        assert order.id not in self.expected, "two keys, one order"
        self.accepted_at[order.id] = time.time()
        self.expected[order.id] = ("FAILED", "card_declined") if declined else ("COMPLETED", "")

    async def goes_on(self, *, orders: int = 1) -> None:
        """Returns once so many checkouts have been accepted that were not before."""
        enough = len(self.expected) + orders
        await eventually(
            lambda: len(self.expected) >= enough,
            f"{orders} more checkouts are accepted",
            deadline_s=_ACCEPT_DEADLINE_S,
        )

    async def is_served(self) -> None:
        """Returns once a checkout that is accepted from now on has ended."""
        known = len(self.expected)
        await self.goes_on()
        body = {"id": list(self.expected)[known], "customer_id": self.shop.buyer("ada")}
        await self.shop.waits_until_ended(Order(body))

    async def told_since(self, hurt_at: float) -> str:
        """How a load that has ended went on after `hurt_at`, in seconds of the epoch; for people."""
        ended_at = await self.shop.ended_at(self.expected)
        accepted = sorted(self.accepted_at.values())
        ended = sorted(each for each in ended_at.values() if each <= accepted[-1])
        first_202 = min(at for at in self.accepted_at.values() if at > hurt_at)
        first_end = min(ended_at[each] for each, at in self.accepted_at.items() if at > hurt_at)
        waits = (ended_at[each] - at for each, at in self.accepted_at.items())
        return (
            f"first 202 after {first_202 - hurt_at:.1f} s,"
            f" first end of an order that came later after {first_end - hurt_at:.1f} s;"
            f" nobody was accepted for {_longest_pause(accepted):.1f} s and nothing ended for"
            f" {_longest_pause(ended):.1f} s at most; one order took {max(waits):.1f} s; answers"
            f" {dict(self.answers)}"
        )

    async def ends_as_it_should(self, *, deadline_s: float = END_DEADLINE_S) -> None:
        """Every checkout that was answered 202 has ended, each in the one right way, and stock agrees."""
        ended = await self.shop.waits_until_all_ended(self.expected, deadline_s=deadline_s)
        outcomes = {order.id: (order.status, order.reason) for order in ended.values()}
        assert outcomes == self.expected
        sold = sum(status == "COMPLETED" for status, _ in outcomes.values())

        async def is_settled() -> bool:
            stock = await self.shop.stock_of(self.sku)
            return (stock["reserved"], stock["sold"]) == (0, sold)

        await eventually(is_settled, f"{sold} units are sold and none is held", deadline_s=deadline_s)


def _longest_pause(moments: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(moments)), default=0.0)


@asynccontextmanager
async def steady_load(shop: Shop, *, rate_per_s: float = RATE_PER_S) -> AsyncIterator[Load]:
    """Checkouts at a fixed rate while the block runs, unless too many of them still wait for their answer.

    At the end of the block no new ones are made, and those that are under way are brought to their 202.
    """
    # More than any test can sell.
    load = Load(shop, await shop.put_product("mug", stock=1_000_000))
    stopped = asyncio.Event()

    async def offer_all(buyers: asyncio.TaskGroup) -> None:
        started, number = time.monotonic(), 0
        while not stopped.is_set():
            number += 1
            buyers.create_task(load.offer(number))
            due = started + number / rate_per_s
            try:
                await asyncio.wait_for(stopped.wait(), timeout=max(0.0, due - time.monotonic()))
            except TimeoutError:
                continue

    async with asyncio.TaskGroup() as buyers:
        buyers.create_task(offer_all(buyers))
        await eventually(lambda: bool(load.expected), "the first checkout is accepted")
        try:
            yield load
        finally:
            stopped.set()
