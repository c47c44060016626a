"""One key and one body have one effect and one answer, however often and by whatever way they come."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import redis.asyncio

from runner.testing import System
from tests.support.shop import Answer, Json, Order, Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("system")

CLICKS = 100


async def clicks(shop: Shop, times: int, cart: Json, key: str) -> list[Answer]:
    """The same checkout so many times at once; each is repeated while it is told 409, as clients do."""

    async def click() -> Answer:
        answer = Answer(0)

        async def is_decided() -> bool:
            nonlocal answer
            answer = await shop.checkout(cart, key=key)
            return answer.status != 409

        await eventually(is_decided, "the first request with this key is answered")
        return answer

    return list(await asyncio.gather(*(click() for _ in range(times))))


async def are_one_purchase(shop: Shop, answers: list[Answer]) -> None:
    """Every answer is the same 202, and behind all of them are one order and one charge."""
    assert {answer.status for answer in answers} == {202}
    assert all(answer.body == answers[0].body for answer in answers)
    firsts = [answer for answer in answers if answer.headers.get("idempotent-replayed") != "true"]
    assert len(firsts) == 1, "one request did it, the others were told what it was told"
    order = await shop.waits_until_ended(Order(answers[0].body))
    assert order.status == "COMPLETED"
    assert [each.id for each in await shop.orders()] == [order.id]
    assert len(await shop.psp.intents_of(order.id)) == 1
    assert (await shop.stock_of("mug"))["sold"] == 1


async def test_100_clicks_with_one_key_are_one_purchase(shop: Shop) -> None:
    await shop.put_product("mug", stock=CLICKS)
    await are_one_purchase(shop, await clicks(shop, CLICKS, shop.cart("mug"), "click"))


async def test_with_redis_emptied_in_between_they_still_are(shop: Shop) -> None:
    await shop.put_product("mug", stock=CLICKS)
    before = await clicks(shop, CLICKS // 2, shop.cart("mug"), "click")
    async with redis.asyncio.Redis(port=shop.system.settings.redis_port) as cache:
        await cache.flushall()
    after = await clicks(shop, CLICKS // 2, shop.cart("mug"), "click")
    await are_one_purchase(shop, before + after)


@asynccontextmanager
async def redis_gone(system: System) -> AsyncIterator[None]:
    """Redis is stopped while the block runs; it keeps nothing, so it comes back empty."""
    await asyncio.to_thread(system.keep_stopped, "redis")
    try:
        yield
    finally:
        await asyncio.to_thread(system.start_again, "redis")


@asynccontextmanager
async def redis_frozen(system: System) -> AsyncIterator[None]:
    """Redis takes connections and answers nothing while the block runs."""
    pid = system.process("redis").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("without_redis", [redis_gone, redis_frozen])
async def test_without_redis_they_still_are(
    shop: Shop, without_redis: Callable[[System], AbstractAsyncContextManager[None]]
) -> None:
    await shop.put_product("mug", stock=CLICKS)
    async with without_redis(shop.system):
        answers = await clicks(shop, CLICKS, shop.cart("mug"), "click")
    # The first click after Redis has come back finds nothing there, and Postgres knows.
    await are_one_purchase(shop, [*answers, *await clicks(shop, 1, shop.cart("mug"), "click")])


async def test_two_bodies_under_one_key_at_the_same_instant_are_one_purchase_and_refusals(shop: Shop) -> None:
    await shop.put_product("mug", stock=CLICKS)
    carts = [shop.cart("mug", quantity=1 + number % 2) for number in range(CLICKS)]
    answers = await asyncio.gather(*(clicks(shop, 1, cart, "click") for cart in carts))
    told = [(cart["items"][0]["quantity"], answer) for cart, (answer,) in zip(carts, answers, strict=True)]
    (winner,) = {quantity for quantity, answer in told if answer.status == 202}
    for quantity, answer in told:
        expected = (202, "") if quantity == winner else (422, "IDEMPOTENCY_KEY_REUSED")
        assert (answer.status, answer.reason) == expected
    (order,) = await shop.orders()
    await shop.waits_until_ended(order)
    assert (await shop.stock_of("mug"))["sold"] == winner
    assert len(await shop.psp.intents_of(order.id)) == 1


async def test_another_body_while_redis_is_empty_does_not_take_the_key_from_the_first(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    order = await shop.buys("mug", key="click")
    async with redis.asyncio.Redis(port=shop.system.settings.redis_port) as cache:
        await cache.flushall()
    for _ in range(3):
        other = await shop.checkout(shop.cart("mug", quantity=2), key="click")
        assert (other.status, other.reason) == (422, "IDEMPOTENCY_KEY_REUSED")
    same = await shop.checkout(shop.cart("mug"), key="click")
    assert (same.status, same.body) == (202, order.body)
    await shop.waits_until_ended(order)


async def test_a_key_belongs_to_its_buyer(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    ada, bob = await asyncio.gather(
        shop.buys("mug", buyer="ada", key="mine"), shop.buys("mug", buyer="bob", key="mine")
    )
    assert ada.id != bob.id
    await shop.waits_until_all_ended([ada.id, bob.id])


async def test_a_checkout_without_a_key_is_refused_and_does_nothing(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    answer = await shop.checkout(shop.cart("mug"))
    assert (answer.status, answer.reason) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert await shop.orders() == []


async def test_a_refusal_does_not_use_up_its_key(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    refused = await shop.checkout(shop.cart("mug", expected_total_amount=1), key="again")
    assert (refused.status, refused.reason) == (400, "PRICE_CHANGED")
    order = await shop.buys("mug", key="again", expected_total_amount=1990)
    assert (await shop.waits_until_ended(order)).status == "COMPLETED"


async def test_a_key_used_again_after_the_end_brings_the_first_answer(shop: Shop) -> None:
    await shop.put_product("mug", stock=5)
    key = uuid.uuid4().hex
    order = await shop.buys("mug", key=key)
    await shop.waits_until_ended(order)
    (again,) = await clicks(shop, 1, shop.cart("mug"), key)
    assert (again.status, again.body) == (202, order.body)
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_delivery_reported_many_times_at_once_is_counted_once(shop: Shop) -> None:
    await shop.put_product("mug", stock=0)
    token, delivery = shop.token("merchant", "usr_owner"), {"delta": 7, "reason": "delivery"}
    reports = [
        shop.call("POST", "/v1/products/mug/stock:adjust", token=token, body=delivery, key="lorry-1")
        for _ in range(20)
    ]
    answers = await asyncio.gather(*reports)
    assert {answer.status for answer in answers} <= {200, 409}
    assert (await shop.stock_of("mug"))["available"] == 7
