"""One key, one effect, one answer: with Redis, without it, and with several replicas at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import pytest
from florin.order.v1.order_pb2 import Order
from redis import Redis

from kit.messaging.step import Step
from kit.rpc.idempotency import Answer, IdempotentBatch, Keyed, ReplayCache, RequestKey
from kit.runtime.context import Runtime
from kit.store import partitions
from kit.store.batch import Gatherer
from kit.values.errors import FlorinError, IllegalMove, KeyReused, Unavailable
from kit.values.reasons import ILLEGAL_STATE
from tests.conftest import RecordingRuntimeFactory
from tests.integration.kit.sample import POISONED, SAMPLE, effects, execute, rows
from tests.support.databases import ServiceDatabases
from tests.support.stores import Postgres, RedisServer
from tests.support.waiting import eventually

REFUSED = "ord_refused"


def keyed(key: str, order_id: str, *, caller: str = "buyer:usr_1") -> Keyed[str]:
    return Keyed(RequestKey(caller, "/shop/Place", key, hashlib.sha256(order_id.encode()).digest()), order_id)


async def place(step: Step, order_ids: Sequence[str]) -> list[Order | FlorinError]:
    """Write an effect for each order and answer with a fresh id, so that no two runs answer alike."""
    wanted = [order_id for order_id in order_ids if order_id != REFUSED]
    await step.connection.execute(
        "INSERT INTO effects (order_id, times) SELECT id, CASE WHEN id = %s THEN 0 ELSE 1 END"
        " FROM unnest(%s::text[]) AS id",
        (POISONED, wanted),
    )
    return [
        IllegalMove(ILLEGAL_STATE, "not today")
        if order_id == REFUSED
        else Order(id=order_id, version=id(object()))
        for order_id in order_ids
    ]


class Shop:
    """One replica: a batch of its own, on the database and the Redis that all share."""

    def __init__(self, runtime: Runtime, redis_url: str) -> None:
        self.runtime = runtime
        self.cache = ReplayCache(redis_url)
        runtime.closers.append(self.cache.close)
        self.batch = IdempotentBatch(steps=runtime.steps, cache=self.cache, apply=place, response=Order)

    async def one(self, call: Keyed[str]) -> Answer[Order] | Exception:
        [outcome] = await self.batch([call])
        return outcome


@pytest.fixture
async def shop(runtime: Runtime, redis_url: str) -> Shop:
    return Shop(runtime, redis_url)


def answered(outcome: Answer[Order] | Exception) -> Answer[Order]:
    assert isinstance(outcome, Answer), outcome
    return outcome


async def is_cached(redis_url: str) -> bool:
    with Redis.from_url(redis_url) as client:
        return len(client.keys("idempotency:*")) > 0


async def test_a_hundred_simultaneous_requests_with_one_key_have_one_effect_and_one_answer(
    shop: Shop,
) -> None:
    gatherer: Gatherer[Keyed[str], Answer[Order]] = Gatherer(shop.batch, name="place", max_items=30)
    gatherer.start()
    answers = await asyncio.gather(*[gatherer.submit(keyed("k1", "ord_1")) for _ in range(100)])
    await gatherer.stop()
    assert await effects(shop.runtime) == ["ord_1"]
    assert len({answer.message.SerializeToString() for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1


async def test_the_same_key_with_another_body_is_refused_also_in_the_same_batch(shop: Shop) -> None:
    first, other = await shop.batch([keyed("k1", "ord_1"), keyed("k1", "ord_2")])
    assert not answered(first).replayed
    assert isinstance(other, KeyReused)
    assert isinstance(await shop.one(keyed("k1", "ord_3")), KeyReused)
    assert await effects(shop.runtime) == ["ord_1"]


async def test_a_key_is_its_callers_own(shop: Shop) -> None:
    outcomes = await shop.batch([keyed("k1", "ord_1"), keyed("k1", "ord_2", caller="buyer:usr_2")])
    assert [answered(outcome).replayed for outcome in outcomes] == [False, False]


@pytest.mark.parametrize("flushed", [False, True], ids=["from Redis", "from Postgres"])
async def test_a_replay_is_the_first_answer_byte_for_byte(shop: Shop, redis_url: str, flushed: bool) -> None:
    first = answered(await shop.one(keyed("k1", "ord_1")))
    await eventually(lambda: is_cached(redis_url), "Redis knows the answer")
    if flushed:
        with Redis.from_url(redis_url) as client:
            client.flushall()
    again = answered(await shop.one(keyed("k1", "ord_1")))
    assert again.replayed
    assert again.message.SerializeToString() == first.message.SerializeToString()
    assert isinstance(await shop.one(keyed("k1", "ord_2")), KeyReused)
    assert await effects(shop.runtime) == ["ord_1"]


async def test_redis_answers_while_the_database_is_asked_nothing(shop: Shop, redis_url: str) -> None:
    await shop.one(keyed("k1", "ord_1"))
    await eventually(lambda: is_cached(redis_url), "Redis knows the answer")
    await execute(shop.runtime, "DELETE FROM idempotency_keys")
    assert answered(await shop.one(keyed("k1", "ord_1"))).replayed


async def test_without_redis_nothing_changes(runtime: Runtime, own_redis: RedisServer) -> None:
    shop = Shop(runtime, own_redis.url)
    first = answered(await shop.one(keyed("k1", "ord_1")))
    own_redis.kill()
    again = answered(await shop.one(keyed("k1", "ord_1")))
    assert (again.replayed, again.message) == (True, first.message)
    assert isinstance(await shop.one(keyed("k1", "ord_2")), KeyReused)
    assert not answered(await shop.one(keyed("k2", "ord_2"))).replayed
    assert await effects(runtime) == ["ord_1", "ord_2"]


async def test_a_key_whose_time_is_over_is_free_again(runtime: Runtime) -> None:
    shop = Shop(runtime, "redis://127.0.0.1:1/0")
    await shop.one(keyed("k1", "ord_1"))
    await expire_all_keys(runtime)
    assert not answered(await shop.one(keyed("k1", "ord_2"))).replayed
    assert await effects(runtime) == ["ord_1", "ord_2"]


async def test_keys_whose_time_is_over_are_forgotten_in_the_background(runtime: Runtime) -> None:
    shop = Shop(runtime, "redis://127.0.0.1:1/0")
    await shop.one(keyed("k1", "ord_1"))
    await partitions.let_go(runtime.database, runtime.kept_days)
    assert await rows(runtime, "SELECT count(*) FROM idempotency_keys") == [(1,)]
    await expire_all_keys(runtime)
    await partitions.let_go(runtime.database, runtime.kept_days)
    assert await rows(runtime, "SELECT count(*) FROM idempotency_keys") == [(0,)]


async def expire_all_keys(runtime: Runtime) -> None:
    # The service may not update keys, only make and forget them: so a copy takes the place of each.
    await execute(
        runtime,
        "WITH gone AS (DELETE FROM idempotency_keys RETURNING *)"
        " INSERT INTO idempotency_keys SELECT principal, method, key, fingerprint, response,"
        " created_at, now() FROM gone",
    )


async def test_a_refusal_does_not_use_up_its_key(shop: Shop) -> None:
    assert isinstance(await shop.one(keyed("k1", REFUSED)), IllegalMove)
    assert await rows(shop.runtime, "SELECT * FROM idempotency_keys") == []
    assert not answered(await shop.one(keyed("k1", "ord_1"))).replayed


async def test_a_bad_command_fails_alone_and_does_not_use_up_its_key(shop: Shop) -> None:
    good, bad, last = await shop.batch([keyed("k1", "ord_1"), keyed("k2", POISONED), keyed("k3", "ord_3")])
    assert isinstance(bad, Exception)
    assert [answered(good).message.id, answered(last).message.id] == ["ord_1", "ord_3"]
    assert await effects(shop.runtime) == ["ord_1", "ord_3"]
    assert not answered(await shop.one(keyed("k2", "ord_2"))).replayed


async def test_a_defect_in_one_command_does_not_fail_its_neighbours(runtime: Runtime, redis_url: str) -> None:
    async def defective(step: Step, order_ids: Sequence[str]) -> list[Order | FlorinError]:
        if POISONED in order_ids:
            raise RuntimeError("a defect")
        return await place(step, order_ids)

    cache = Shop(runtime, redis_url).cache
    batch = IdempotentBatch(steps=runtime.steps, cache=cache, apply=defective, response=Order)
    good, bad = await batch([keyed("k1", "ord_1"), keyed("k2", POISONED)])
    assert answered(good).message.id == "ord_1"
    assert isinstance(bad, RuntimeError)


async def test_replicas_that_race_for_the_same_keys_have_one_effect_and_one_answer(
    runtime: Runtime,
) -> None:
    for round_ in range(10):
        # Without Redis, so that nothing but Postgres stands between them.
        replicas = [Shop(runtime, "redis://127.0.0.1:1/0") for _ in range(3)]
        calls = [keyed(f"k{round_}_{n}", f"ord_{round_}_{n}") for n in range(5)]
        outcomes = await asyncio.gather(*[replica.batch(calls) for replica in replicas])
        for same in zip(*outcomes, strict=True):
            assert len({answered(outcome).message.SerializeToString() for outcome in same}) == 1
            assert sum(not answered(outcome).replayed for outcome in same) == 1
    assert await effects(runtime) == sorted(f"ord_{r}_{n}" for r in range(10) for n in range(5))


async def test_without_the_database_nothing_is_accepted(
    own_postgres: Postgres, service_runtime: RecordingRuntimeFactory, redis_url: str
) -> None:
    runtime = await service_runtime(SAMPLE, emits=[], database=ServiceDatabases(own_postgres).create(SAMPLE))
    shop = Shop(runtime, redis_url)
    await shop.one(keyed("k1", "ord_1"))
    await eventually(lambda: is_cached(redis_url), "Redis knows the answer")
    own_postgres.stop()
    refusal = await shop.one(keyed("k2", "ord_2"))
    assert isinstance(refusal, Unavailable)
    assert refusal.reason == "STORE_UNAVAILABLE"
    assert refusal.retry_after_s
    assert answered(await shop.one(keyed("k1", "ord_1"))).replayed, "what was answered stays answered"
