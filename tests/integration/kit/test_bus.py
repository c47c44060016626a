"""The broker may forget everything, at any time: events arrive all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import nats
import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from nats.js.client import JetStreamContext

from kit.messaging import outbox as outbox_module
from kit.messaging.bus import FETCH_SIZE, STREAM, Bus, Pull
from kit.messaging.events import Aggregate, NewEvent, event_type, event_types
from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.runtime.context import Runtime
from kit.runtime.settings import ContextSettings
from kit.values.ids import new_id
from kit.values.pauses import Pauses
from kit.values.trail import Trail
from tests.integration.kit.sample import CONSUMERS, SAMPLE, SUBSCRIPTIONS, effects, execute, itself, rows
from tests.support.databases import ServiceDatabase
from tests.support.service import envelope_of
from tests.support.stores import Nats
from tests.support.waiting import eventually

CONSUMER = "notification_svc"
SUBJECTS = [event_type(OrderCompleted).subject_filter()]


@asynccontextmanager
async def connected(url: str, name: str = "test") -> AsyncIterator[Bus]:
    bus = Bus(name=name, url=url)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


@asynccontextmanager
async def background(*work: Awaitable[object]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def take_ids(pull: Pull, count: int, *, deadline_s: float = 20.0) -> list[str]:
    """Return the event ids of the next `count` messages, acknowledged."""
    ids: list[str] = []
    async with asyncio.timeout(deadline_s):
        while len(ids) < count:
            messages = await pull.take(linger_s=0)
            ids += [message.headers["ce-id"] for message in messages if message.headers]
            await pull.acknowledge(messages[-1])
    return ids


async def test_events_come_in_the_order_of_their_sending_with_all_they_carry(nats_url: str) -> None:
    trail = Trail("cor_1", f"00-{'a' * 32}-{'b' * 16}-01")
    async with connected(nats_url) as bus:
        pull = await bus.pull(CONSUMER, SUBJECTS)
        sent = [envelope_of(OrderCompleted(order_id="ord_1"), trail=trail) for _ in range(3 * FETCH_SIZE)]
        for envelope in sent:
            await bus.publish(envelope)
        assert await take_ids(pull, len(sent)) == [envelope.id for envelope in sent]

        await bus.publish(envelope_of(OrderCompleted(order_id="ord_2", payment_id="pay_2"), trail=trail))
        [message] = await pull.take(linger_s=0)
        assert message.headers is not None
        assert message.headers["florin-correlation-id"] == "cor_1"
        assert message.headers["traceparent"] == trail.traceparent
        assert message.headers["ce-type"] == "florin.order.completed"
        assert OrderCompleted.FromString(message.data).payment_id == "pay_2"


async def test_a_pull_asks_for_no_more_than_it_is_short_of(nats_url: str) -> None:
    """Pull requests that pile up would keep the broker busy for nothing."""
    portion = FETCH_SIZE // 2 + 2
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS)
        for _ in range(20):
            for _ in range(portion):
                await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
            await take_ids(pull, portion)
        info = await jetstream.consumer_info(STREAM, CONSUMER)
        assert (info.num_waiting or 0) <= 3


async def test_a_deleted_consumer_is_made_again_while_somebody_pulls_on_it(nats_url: str) -> None:
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS)
        first = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(first)
        assert await take_ids(pull, 1) == [first.id]
        taking = asyncio.create_task(take_ids(pull, 2))
        await jetstream.delete_consumer(STREAM, CONSUMER)
        second = envelope_of(OrderCompleted(order_id="ord_2"))
        await bus.publish(second)
        # From the first message on: what was handled before is told apart by the inbox.
        assert await taking == [first.id, second.id]


async def test_a_deleted_stream_is_made_again_while_somebody_pulls_on_it(nats_url: str) -> None:
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS)
        taking = asyncio.create_task(take_ids(pull, 1))
        await jetstream.delete_stream(STREAM)
        sent: set[str] = set()

        async def resend_until_taken() -> bool:
            envelope = envelope_of(OrderCompleted(order_id="ord_1"))
            sent.add(envelope.id)
            await bus.publish(envelope)
            return taking.done()

        await eventually(resend_until_taken, "an event arrives again")
        assert set(await taking) <= sent


async def test_a_service_may_start_before_its_broker(own_nats: Nats) -> None:
    own_nats.kill()
    bus = Bus(name="early", url=own_nats.url)
    opening = asyncio.create_task(bus.open())
    done, _ = await asyncio.wait([opening], timeout=0.5)
    assert not done
    own_nats.start()
    await asyncio.wait_for(opening, 20)
    assert bus.connected
    await bus.close()


class Shop:
    """Two services between one broker: `sender` emits OrderCompleted, `receiver` writes its effects."""

    def __init__(self, sender: Runtime, receiver: Runtime) -> None:
        self.sender = sender
        self.receiver = receiver
        self.pump = Pump(
            bus=receiver.bus,
            steps=receiver.steps,
            consumer=CONSUMER,
            subscriptions=SUBSCRIPTIONS,
            scope=itself,
            new_id=new_id,
            linger_s=0,
        )

    async def complete(self, *order_ids: str) -> None:
        async def body(step: Step) -> None:
            trail = Trail("cor_1")
            step.emit([NewEvent(OrderCompleted(order_id=o), Aggregate("order", o), trail) for o in order_ids])

        await self.sender.steps.take(body)

    async def relay(self) -> None:
        """Send again and forget, as the services' background does, but without its patience."""
        while True:
            await asyncio.sleep(0.05)
            with suppress(TimeoutError):
                await execute(
                    self.sender,
                    "UPDATE outbox SET next_send_at = least(next_send_at, now() + interval '1 second')",
                )
                await self.sender.outbox.resend_due()
                await self.sender.outbox.forget_confirmed()

    async def nothing_is_owed(self) -> bool:
        return await rows(self.sender, "SELECT * FROM outbox") == []


@asynccontextmanager
async def real_runtime(name: str, database_url: str, nats_url: str) -> AsyncIterator[Runtime]:
    settings = ContextSettings(database_url=database_url, nats_url=nats_url)
    emits = event_types(OrderCompleted, OrderFailed)
    runtime = Runtime(name, settings, emits=emits, consumers=CONSUMERS)
    await runtime.open()
    try:
        yield runtime
    finally:
        await runtime.close()


@pytest.fixture
async def shop(
    own_nats: Nats,
    service_database: Callable[[str], ServiceDatabase],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Shop]:
    monkeypatch.setattr(outbox_module, "RESEND_PAUSES", Pauses((5.0, 1.0)))
    sender_url, receiver_url = service_database(SAMPLE).url, service_database(SAMPLE).url
    async with (
        real_runtime("order_svc", sender_url, own_nats.url) as sender,
        real_runtime(CONSUMER, receiver_url, own_nats.url) as receiver,
    ):
        yield Shop(sender, receiver)


async def test_what_is_committed_arrives_is_confirmed_and_forgotten(shop: Shop) -> None:
    async with background(shop.pump.run(), shop.relay()):
        await shop.complete(*[f"ord_{n:03}" for n in range(300)])
        await eventually(shop.nothing_is_owed, "all is confirmed")
    assert await effects(shop.receiver) == [f"ord_{n:03}" for n in range(300)]


async def test_a_broker_killed_and_wiped_under_load_loses_and_doubles_nothing(
    shop: Shop, own_nats: Nats
) -> None:
    async with background(shop.pump.run(), shop.relay()):
        for part in range(10):
            await shop.complete(*[f"ord_{part}_{n:02}" for n in range(30)])
            if part == 4:
                own_nats.kill()
                own_nats.wipe()
            if part == 7:
                own_nats.start()
        await eventually(shop.nothing_is_owed, "all is confirmed", deadline_s=60)
    expected = [f"ord_{part}_{n:02}" for part in range(10) for n in range(30)]
    assert await effects(shop.receiver) == sorted(expected)


async def test_a_receiver_that_comes_late_gets_everything(shop: Shop) -> None:
    await shop.complete("ord_1", "ord_2")
    async with background(shop.relay(), shop.pump.run()):
        await eventually(shop.nothing_is_owed, "all is confirmed")
    assert await effects(shop.receiver) == ["ord_1", "ord_2"]
