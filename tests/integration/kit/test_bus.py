"""The broker may forget everything, at any time: events arrive all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Self

import nats
import pytest
from florin.order.v1.order_events_pb2 import OrderCompleted, OrderFailed
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext

from kit.messaging import bus as bus_module
from kit.messaging import outbox as outbox_module
from kit.messaging import stream as stream_module
from kit.messaging.bus import Bus
from kit.messaging.events import Aggregate, NewEvent, event_type, event_types
from kit.messaging.pull import FETCH_SIZE, Pull
from kit.messaging.pump import Pump
from kit.messaging.step import Step
from kit.messaging.stream import STREAM
from kit.runtime.context import Runtime
from kit.runtime.settings import ContextSettings
from kit.values.ids import new_id
from kit.values.pauses import Pauses
from kit.values.trail import Trail
from tests.integration.kit.sample import CONSUMERS, SAMPLE, SUBSCRIPTIONS, effects, execute, itself, rows
from tests.support.databases import ServiceDatabase
from tests.support.proxy import proxy_to
from tests.support.service import envelope_of
from tests.support.stores import Nats
from tests.support.waiting import eventually

CONSUMER = "notification_svc"
SUBJECTS = [event_type(OrderCompleted).subject_filter]


async def is_new() -> bool:
    """Say that the consumer has never acted on an event."""
    return True


async def is_known() -> bool:
    """Say that the consumer has acted on events before."""
    return False


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
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def take_ids(pull: Pull, count: int, *, deadline_s: float = 60.0) -> list[str]:
    """Return the event ids of the next `count` messages."""
    ids: list[str] = []
    async with asyncio.timeout(deadline_s):
        while len(ids) < count:
            messages = await pull.take(linger_s=0)
            ids += [message.headers["ce-id"] for message in messages if message.headers]
    return ids


async def test_events_come_in_the_order_of_their_sending_with_all_they_carry(nats_url: str) -> None:
    trail = Trail("cor_1", f"00-{'a' * 32}-{'b' * 16}-01")
    async with connected(nats_url) as bus:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
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
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        for _ in range(20):
            for _ in range(portion):
                await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
            await take_ids(pull, portion)
        info = await jetstream.consumer_info(STREAM, CONSUMER)
        assert (info.num_waiting or 0) <= 3


async def test_a_consumer_that_never_acted_on_an_event_begins_with_the_first_that_is_there(
    nats_url: str,
) -> None:
    async with connected(nats_url) as bus:
        first = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(first)
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        assert await take_ids(pull, 1) == [first.id]


async def test_a_consumer_that_acted_on_events_before_begins_a_little_while_ago(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones are sent again if they were not confirmed; nobody reads an hour of the others' first."""
    monkeypatch.setattr(stream_module, "_LOOK_BACK", timedelta(seconds=-1))
    async with connected(nats_url) as bus:
        for _ in range(100):
            await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
        pull = await bus.pull(CONSUMER, SUBJECTS, is_known)
        taking = asyncio.create_task(take_ids(pull, 1))
        sent: list[str] = []

        async def newest_is_taken() -> bool:
            envelope = envelope_of(OrderCompleted(order_id="ord_2"))
            sent.append(envelope.id)
            await bus.publish(envelope)
            return taking.done()

        await eventually(newest_is_taken, "an event arrives")
        assert set(await taking) <= set(sent)


async def test_what_is_sent_again_to_one_consumer_comes_to_it_alone(nats_url: str) -> None:
    async with connected(nats_url) as bus:
        mine = await bus.pull(CONSUMER, SUBJECTS, is_new)
        others = await bus.pull("payment_svc", SUBJECTS, is_new)
        event = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(replace(event, to="payment_svc", attempt=2))
        await bus.publish(replace(event, to=CONSUMER, attempt=2))
        last = envelope_of(OrderCompleted(order_id="ord_2"))
        await bus.publish(last)
        assert await take_ids(mine, 2) == [event.id, last.id]
        assert await take_ids(others, 2) == [event.id, last.id]


async def test_a_context_that_acts_on_one_event_more_keeps_its_place(nats_url: str) -> None:
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        before = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(before)
        assert await take_ids(pull, 1) == [before.id]
        await pull.close()
        both = [*SUBJECTS, event_type(OrderFailed).subject_filter]
        pull = await bus.pull(CONSUMER, both, is_new)
        failed = envelope_of(OrderFailed(order_id="ord_2"))
        await bus.publish(failed)
        assert await take_ids(pull, 1) == [failed.id]
        assert len(await jetstream.consumers_info(STREAM)) == 1


async def test_an_older_replica_that_connects_again_takes_nothing_from_newer_ones(nats_url: str) -> None:
    """Replicas are exchanged one by one; what the new version acts on besides comes at once."""
    more = event_type(OrderFailed).subject_filter
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:

        async def given() -> list[str]:
            return (await jetstream.consumer_info(STREAM, CONSUMER)).config.filter_subjects or []

        async def sent(pull: Pull) -> None:
            """Send events until the pull brings one: it has made its consumer by then."""
            taken = asyncio.create_task(take_ids(pull, 1))

            async def send_another() -> bool:
                await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
                return taken.done()

            await eventually(send_another, "a pull brings an event")
            await taken

        older = await bus.pull(CONSUMER, SUBJECTS, is_new)
        await sent(older)
        await sent(await bus.pull(CONSUMER, [*SUBJECTS, more], is_new))
        while older._messages:
            await older.take(linger_s=0)
        older.restart()
        await sent(older)
        assert more in await given()
        # The next that starts says what the context acts on now.
        await sent(await bus.pull(CONSUMER, SUBJECTS, is_new))
        assert more not in await given()


async def test_durables_of_the_version_before_are_replaced(nats_url: str) -> None:
    """Each replica had one for its shards, or one for all of them, that acknowledged."""
    others = ["payment_svc-0-of-2", "somebody-0-of-2"]
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        for durable in [CONSUMER, f"{CONSUMER}-0-of-2", f"{CONSUMER}-11-of-16", *others]:
            config = ConsumerConfig(durable_name=durable, ack_policy=AckPolicy.ALL, filter_subjects=SUBJECTS)
            await jetstream.add_consumer(STREAM, config)
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        event = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(event)
        assert await take_ids(pull, 1) == [event.id]
        known = {each.name: each.config for each in await jetstream.consumers_info(STREAM)}
        assert known.keys() == {CONSUMER, *others}
        assert known[CONSUMER].ack_policy == AckPolicy.NONE


async def test_a_consumer_is_there_while_somebody_pulls(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_RECENTLY", timedelta())
    async with connected(nats_url) as bus:
        assert await bus.backlog(CONSUMER) is None, "nobody has heard of it"
        async with connected(nats_url) as its_bus:
            pull = await its_bus.pull(CONSUMER, SUBJECTS, is_new)
            taking = asyncio.create_task(take_ids(pull, 2))

            async def is_there() -> bool:
                return await bus.backlog(CONSUMER) == 0

            await eventually(is_there, "it waits for events")
            taking.cancel()

        async def is_gone() -> bool:
            return await bus.backlog(CONSUMER) is None

        await eventually(is_gone, "its request is over")


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)])
async def test_the_clock_of_this_process_does_not_matter_to_the_broker(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    monkeypatch.setattr(stream_module, "datetime", clock_that_is_off(off))
    async with connected(nats_url) as bus:
        sent = [envelope_of(OrderCompleted(order_id=f"ord_{n}")) for n in range(2)]
        await bus.publish(sent[0])
        pull = await bus.pull(CONSUMER, SUBJECTS, is_known)
        assert await take_ids(pull, 1) == [sent[0].id], "it begins a little while ago"
        await pull.close()
        assert await bus.backlog(CONSUMER) == 0, "it was given something just now"

        async def is_gone() -> bool:
            return await bus.backlog(CONSUMER) is None

        await eventually(is_gone, "that was some time ago")


def clock_that_is_off(by: timedelta) -> type[datetime]:
    class Off(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            now = datetime.now(tz) + by
            return cls.fromtimestamp(now.timestamp(), tz)

    return Off


async def test_what_had_come_when_a_pull_ends_is_not_lost(nats_url: str) -> None:
    async with connected(nats_url) as bus:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        taking = asyncio.create_task(pull.take(linger_s=60))
        sent = [envelope_of(OrderCompleted(order_id=f"ord_{n}")) for n in range(50)]
        for envelope in sent:
            await bus.publish(envelope)
        await eventually(lambda: pull._messages != [], "events come")
        taking.cancel()
        left = await pull.close()
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        came = [message.headers["ce-id"] for message in left if message.headers]
        came += await take_ids(pull, len(sent) - len(came)) if len(came) < len(sent) else []
        assert came == [envelope.id for envelope in sent]


async def test_a_pull_that_ends_leaves_nothing_behind(nats_url: str) -> None:
    async with connected(nats_url) as bus:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        await pull.close()
        watched = len(bus._pulls), len(bus._client._subs)
        for _ in range(10):
            pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await pull.take(linger_s=0)
            await pull.close()
        assert (len(bus._pulls), len(bus._client._subs)) == watched


async def test_a_deleted_consumer_is_made_again_while_somebody_pulls_on_it(nats_url: str) -> None:
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
        first = envelope_of(OrderCompleted(order_id="ord_1"))
        await bus.publish(first)
        assert await take_ids(pull, 1) == [first.id]
        taking = asyncio.create_task(take_ids(pull, 2))
        await jetstream.delete_consumer(STREAM, CONSUMER)
        second = envelope_of(OrderCompleted(order_id="ord_2"))
        await bus.publish(second)
        # A few seconds back: what was handled before is told apart by the inbox.
        assert await taking == [first.id, second.id]


async def test_a_deleted_stream_is_made_again_while_somebody_pulls_on_it(nats_url: str) -> None:
    async with connected(nats_url) as bus, administrator(nats_url) as jetstream:
        pull = await bus.pull(CONSUMER, SUBJECTS, is_new)
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


async def test_a_bus_closes_though_its_broker_is_away(
    own_nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(name="late", url=own_nats.url)
    await bus.open()
    own_nats.kill()
    await eventually(lambda: not bus.connected, "it has noticed")
    await bus.publish(envelope_of(OrderCompleted(order_id="ord_1")))
    await bus.close()
    monkeypatch.setattr(bus_module, "_OPEN_S", 0.2)
    never = Bus(name="never", url=own_nats.url)
    await never.open()
    await never.publish(envelope_of(OrderCompleted(order_id="ord_1")))
    await never.close()
    assert never._renewal is not None
    with pytest.raises(asyncio.CancelledError):
        await never._renewal


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
                    "UPDATE outbox SET overdue_at = least(overdue_at, now() + interval '1 second')"
                    " WHERE overdue_at IS NOT NULL",
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


async def test_services_work_before_their_broker_is_there_and_with_it_once_it_is(
    own_nats: Nats, service_database: Callable[[str], ServiceDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "_OPEN_S", 0.2)
    monkeypatch.setattr(outbox_module, "RESEND_PAUSES", Pauses((5.0, 1.0)))
    own_nats.kill()
    async with (
        asyncio.timeout(120),
        real_runtime("order_svc", service_database(SAMPLE).url, own_nats.url) as sender,
        real_runtime(CONSUMER, service_database(SAMPLE).url, own_nats.url) as receiver,
    ):
        shop = Shop(sender, receiver)
        async with background(shop.pump.run(), shop.relay()):
            await shop.complete("ord_1")
            assert len(await rows(sender, "SELECT * FROM outbox")) == 1
            own_nats.start()
            await eventually(shop.nothing_is_owed, "it arrives, and its confirmation does")
        assert await effects(receiver) == ["ord_1"]


async def test_a_broker_that_is_away_is_not_asked_who_is_there(own_nats: Nats) -> None:
    async with connected(own_nats.url) as bus:
        own_nats.kill()
        await eventually(lambda: not bus.connected, "it has noticed")
        asking = bus.backlog(CONSUMER)
        with pytest.raises(StopIteration) as answer:
            asking.send(None)  # It waits for nothing.
        assert answer.value.value is None


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


async def test_what_was_handed_to_a_connection_that_is_dead_comes_from_the_outbox(
    own_nats: Nats,
    service_database: Callable[[str], ServiceDatabase],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker hands out each message once, whether it arrives or not."""
    monkeypatch.setattr(outbox_module, "RESEND_PAUSES", Pauses((5.0, 1.0)))
    sender_url, receiver_url = service_database(SAMPLE).url, service_database(SAMPLE).url
    async with (
        proxy_to(own_nats.url) as network,
        real_runtime("order_svc", sender_url, own_nats.url) as sender,
        real_runtime(CONSUMER, receiver_url, network.url(own_nats.url)) as receiver,
        administrator(own_nats.url) as jetstream,
    ):
        shop = Shop(sender, receiver)

        async def are_handed_out() -> bool:
            delivered = (await jetstream.consumer_info(STREAM, CONSUMER)).delivered
            return delivered is not None and delivered.stream_seq >= 2

        async with background(shop.pump.run(), shop.relay()):
            await shop.complete("ord_1")
            await eventually(shop.nothing_is_owed, "the first is done")
            network.lose()
            await shop.complete("ord_2")
            await eventually(are_handed_out, "the broker has handed out the second")
            await eventually(shop.nothing_is_owed, "the second is done, too")
        assert await effects(receiver) == ["ord_1", "ord_2"]


async def test_a_receiver_that_comes_late_gets_everything(shop: Shop) -> None:
    await shop.complete("ord_1", "ord_2")
    async with background(shop.relay(), shop.pump.run()):
        await eventually(shop.nothing_is_owed, "all is confirmed")
    assert await effects(shop.receiver) == ["ord_1", "ord_2"]
