"""A process that dies exactly between two steps leaves nothing undone and does nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from roster import ROSTER
from runner.testing import Armed, System
from tests.support.load import insists
from tests.support.shop import Order, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("faults")

# Between these two steps each process dies.
KILL_POINTS = [
    pytest.param("order_svc", "order_svc.before_publish", id="order-accepted-and-not-announced"),
    pytest.param("inventory_svc", "inventory_svc.after_commit", id="stock-held-and-not-confirmed"),
    pytest.param("payment_svc", "payment_svc.before_charge", id="payment-on-record-and-not-charged"),
    pytest.param("payment_svc", "payment_svc.after_charge", id="charged-and-not-on-record"),
    pytest.param("ledger_svc", "ledger_svc.after_commit", id="journal-posted-and-not-confirmed"),
    pytest.param("notification_svc", "notification_svc.after_send", id="mail-sent-and-not-on-record"),
]


async def is_quiet(system: System) -> None:
    """Returns once no event is under way, so that only the test's own order reaches a fault point."""

    async def is_empty(service: str) -> bool:
        async with await psycopg.AsyncConnection.connect(system.auditor_url(service)) as connection:
            cursor = await connection.execute("SELECT count(*) FROM outbox")
            return await cursor.fetchone() == (0,)

    async def are_empty() -> bool:
        return all([await is_empty(service) for service in ROSTER.packages])

    await eventually(are_empty, "every event is confirmed", deadline_s=60)


@asynccontextmanager
async def armed(system: System, name: str, faultpoint: str, *, quiet: bool = True) -> AsyncIterator[Armed]:
    """A process that dies at `faultpoint`; the supervisor's own takes its place afterwards."""
    if quiet:
        await is_quiet(system)
    try:
        bomb = await asyncio.to_thread(system.arm, name, faultpoint)
        try:
            yield bomb
        finally:
            bomb.end()
    finally:
        await asyncio.to_thread(system.start_again, name)


async def is_purchased_once(shop: Shop, order: Order) -> None:
    """Completed, with one charge, one journal, one unit sold and one e-mail."""
    ended = await shop.waits_until_ended(order)
    assert (ended.status, ended.reason) == ("COMPLETED", "")
    assert [each.id for each in await shop.orders()] == [order.id]
    assert len(await shop.psp.intents_of(order.id)) == 1
    assert await shop.journals_of(order) == ["payment.captured"]
    assert await shop.stock_of("mug") == {"available": 4, "reserved": 0, "sold": 1}
    steps = await shop.timeline_of(order)
    assert len(steps) == len(set(steps)), "each step happened once"
    await eventually(lambda: bool(shop.mails_about(order)), "the e-mail is sent", deadline_s=60)
    assert len(shop.mails_about(order)) == 1


@pytest.mark.parametrize(("name", "faultpoint"), KILL_POINTS)
async def test_a_death_between_two_steps_is_made_good(shop: Shop, name: str, faultpoint: str) -> None:
    await shop.put_product("mug", stock=5)
    async with asyncio.TaskGroup() as buyers, armed(shop.system, name, faultpoint) as bomb:
        buying = buyers.create_task(insists(shop, shop.cart("mug"), "k"))
        await eventually(lambda: bomb.struck, f"{name} dies at {faultpoint}")
    await is_purchased_once(shop, buying.result())


async def test_a_death_of_the_relay_between_claim_and_publish_is_made_good(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    async with (
        asyncio.TaskGroup() as buyers,
        armed(shop.system, "order_svc", "order_svc.before_publish") as first,
    ):
        buying = buyers.create_task(insists(shop, shop.cart("mug"), "k"))
        await eventually(lambda: first.struck, "order_svc dies before it publishes")
        # The event is still in the outbox. Another process would send it; the next one dies with it in hand.
        async with armed(shop.system, "order_svc", "order_svc.relay_claimed", quiet=False) as second:
            await eventually(lambda: second.struck, "order_svc dies before it publishes again")
    await is_purchased_once(shop, buying.result())
