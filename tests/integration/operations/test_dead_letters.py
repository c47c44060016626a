"""A dead letter that is replayed goes back to whoever emitted it, and is not lost on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from florin.order.v1.order_events_pb2 import OrderFailed
from psycopg.rows import class_row

from kit.messaging.envelope import Envelope
from kit.messaging.events import NewEvent, Received
from kit.messaging.pump import Subscriptions
from kit.runtime.context import Runtime
from kit.values.trail import Trail
from operations import dead_letters
from operations.connection import Connection
from operations.dead_letters import Letter
from runner.settings import Settings
from terminal.errors import CommandError
from tests.conftest import RecordingRuntimeFactory
from tests.support.databases import ServiceDatabase
from tests.support.service import envelope_of, handle, handle_until_given_up, opened, pump_of, recorded

FAILED: Final = OrderFailed(order_id="ord_1", reason="out_of_stock")
TRAIL: Final = Trail("cor_1", f"00-{'a' * 32}-{'b' * 16}-01")


@dataclass(slots=True)
class Pair:
    """Who emitted the event, and who could not handle it."""

    producer: Runtime
    producer_url: str
    consumer: Runtime
    consumer_url: str
    is_mended: bool = False

    async def receive(self, envelope: Envelope, *, until_given_up: bool = False) -> list[str]:
        """Hand the event to its consumer and return the ids that it has confirmed."""

        async def on_failed(scope: None, events: Sequence[Received[Any]]) -> list[NewEvent]:
            if not self.is_mended:
                raise RuntimeError("mailbox full")
            return []

        handlers: Subscriptions[None] = {OrderFailed: on_failed}
        pump = pump_of(self.consumer, handlers, lambda step: None)
        take = handle_until_given_up if until_given_up else handle
        await take(self.consumer, pump, envelope)
        confirmed = [event_id for _, _, ids in recorded(self.consumer).confirmed for event_id in ids]
        recorded(self.consumer).confirmed.clear()
        return confirmed

    async def bury(self, at: datetime | None = None) -> Letter:
        """Let the event fail until its consumer gives up."""
        emitted = envelope_of(FAILED, trail=TRAIL)
        emitted = replace(emitted, time=at or emitted.time)
        assert await self.receive(emitted, until_given_up=True) == [emitted.id]
        return await self.letter()

    async def letter(self) -> Letter:
        """The dead letter as it is now."""
        async with connected(self.consumer_url) as connection:
            cursor = connection.cursor(row_factory=class_row(Letter))
            [found] = await (await cursor.execute(dead_letters._LETTER_SQL)).fetchall()
            return found

    async def put_back(self, letter: Letter) -> bool:
        async with connected(self.producer_url) as connection:
            return await dead_letters.put_back(connection, letter)

    async def close(self, letter: Letter) -> None:
        async with connected(self.consumer_url) as connection:
            await dead_letters.close(connection, letter, "replayed")

    async def resend(self) -> Envelope:
        """What the producer's relay sends."""
        assert await self.producer.outbox.resend_due() == 1
        [envelope] = recorded(self.producer).take()
        return envelope

    async def waiting(self) -> int:
        """How many events the producer's outbox holds."""
        async with self.producer.database.connection() as connection:
            row = await (await connection.execute("SELECT count(*) FROM outbox")).fetchone()
        return int(row[0]) if row else 0


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def pair(
    service_runtime: RecordingRuntimeFactory, service_database: Callable[[str], ServiceDatabase]
) -> Pair:
    orders, mails = service_database("order_svc"), service_database("notification_svc")
    # One consumer, whoever else acts on it in Florin.
    consumers = {"order.failed": frozenset({"notification_svc"})}
    return Pair(
        await service_runtime("order_svc", emits=[OrderFailed], consumers=consumers, database=orders),
        orders.url,
        await service_runtime("notification_svc", database=mails),
        mails.url,
    )


async def test_a_replayed_event_stays_in_the_outbox_until_its_consumer_has_acted_on_it(pair: Pair) -> None:
    letter = await pair.bury()
    assert await pair.put_back(letter)
    await pair.close(letter)
    assert (await pair.letter()).outcome == "replayed"

    recorded(pair.producer).down = True
    assert await pair.producer.outbox.resend_due() == 1, "and the broker loses it"
    async with pair.producer.database.connection() as connection:
        await connection.execute("UPDATE resends SET next_send_at = now()")
    recorded(pair.producer).down = False

    sent = await pair.resend()
    assert (sent.id, opened([sent]), sent.trail) == (letter.event_id, [FAILED], TRAIL)
    assert sent.time.isoformat() == letter.headers["ce-time"]
    pair.is_mended = True
    pair.producer.outbox.confirm("notification_svc", await pair.receive(sent))
    await pair.producer.outbox.forget_confirmed()
    assert await pair.waiting() == 0
    assert (await pair.letter()).outcome == "replayed"


async def test_an_event_that_fails_again_is_an_open_letter_again(pair: Pair) -> None:
    letter = await pair.bury()
    await pair.put_back(letter)
    await pair.close(letter)
    assert await pair.receive(await pair.resend(), until_given_up=True) == [letter.event_id]
    again = await pair.letter()
    assert (again.id, again.outcome) == (letter.id, None)
    assert again.attempts > letter.attempts


async def test_an_event_that_has_failed_again_before_its_letter_is_closed_leaves_it_open(pair: Pair) -> None:
    letter = await pair.bury()
    await pair.put_back(letter)
    await pair.receive(await pair.resend(), until_given_up=True)
    await pair.close(letter)
    assert (await pair.letter()).outcome is None


async def test_an_event_that_nobody_can_read_is_an_open_letter_again(pair: Pair) -> None:
    unreadable = replace(envelope_of(FAILED), payload=b"\xff not protobuf")
    await pair.receive(unreadable)
    letter = await pair.letter()
    await pair.put_back(letter)
    await pair.close(letter)
    await pair.receive(await pair.resend())
    assert (await pair.letter()).outcome is None


async def test_a_discarded_letter_stays_closed(pair: Pair) -> None:
    letter = await pair.bury()
    async with connected(pair.consumer_url) as connection:
        await dead_letters.close(connection, letter, "discarded")
    await pair.put_back(letter)
    await pair.receive(await pair.resend(), until_given_up=True)
    assert (await pair.letter()).outcome == "discarded"


async def test_an_event_that_is_still_being_sent_is_not_put_back_twice(pair: Pair) -> None:
    letter = await pair.bury()
    assert await pair.put_back(letter)
    assert not await pair.put_back(letter)
    assert await pair.waiting() == 1


async def test_an_event_older_than_any_resend_is_sent_all_the_same(pair: Pair) -> None:
    letter = await pair.bury(at=datetime.now(UTC) - timedelta(days=30))
    assert await pair.put_back(letter)
    assert (await pair.resend()).id == letter.event_id


async def test_what_is_no_event_of_ours_cannot_be_replayed(pair: Pair) -> None:
    letter = replace(await pair.bury(), type="order.lost")
    with pytest.raises(CommandError, match="no event of ours"):
        await dead_letters.replay(Settings(), letter)
