"""Health is progress: whoever stands still is named, and it can be asked while nothing else answers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, cast

import psycopg
import pytest
import structlog

from kit.messaging.pump import Pump
from kit.observe.pulse import STILL_S, Pulse
from kit.runtime.background import of_every_context
from kit.runtime.health import Health
from kit.store.batch import Gatherer
from kit.values.schedule import Schedule
from tests.support.service import RecordingRuntime
from tests.support.waiting import eventually
from tests.unit.kit.test_process import Hosted


@dataclass(slots=True)
class Seconds:
    """A clock that a test moves."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Shop:
    """A process with one context of one loop, at whatever time a test wants."""

    seconds: Seconds = field(default_factory=Seconds)
    pump: Pulse = field(init=False)
    loop: Pulse = field(init=False)
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        self.pump, self.loop = Pulse(clock=self.seconds), Pulse(clock=self.seconds)
        context = Hosted("order_svc")
        context.pulses["pump"] = self.pump
        self.health = Health([context], loop=self.loop)
        self.health.phase = ""
        self.loop.beat()

    def later(self, seconds: float) -> None:
        """Let time pass in which the event loop turns."""
        self.seconds.now += seconds
        self.loop.beat()


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_loop_that_rests_is_well_and_one_whose_work_is_not_done_is_not(shop: Shop) -> None:
    shop.later(1_000)
    assert shop.health.reasons() == []
    with shop.pump.at_work():
        shop.later(STILL_S)
        assert shop.health.reasons() == []
        shop.later(1.0)
        assert shop.health.reasons() == ["order_svc: pump has not moved for 4.0 s"]
        shop.pump.waits_for("its store")
        assert shop.health.reasons() == ["order_svc: pump has not moved for 4.0 s, waits for its store"]
        assert shop.health.live, "a new start would not help"
    assert shop.health.reasons() == []


def test_work_that_fails_each_time_is_told_and_closes_nothing(shop: Shop) -> None:
    error = KeyError("sku")
    for _ in range(2):
        shop.pump.failed(error)
        shop.later(1.0)
    shop.pump.beat()
    for _ in range(2):
        shop.pump.failed(error)
    assert shop.health.troubles() == [], "it had succeeded meanwhile"
    shop.pump.failed(error)
    assert shop.health.troubles() == ["order_svc: pump fails each time: KeyError('sku')"]
    assert shop.health.reasons() == []
    shop.pump.beat()
    assert shop.health.troubles() == []


def test_an_event_loop_that_does_not_turn_is_not_alive(shop: Shop) -> None:
    shop.seconds.now += STILL_S + 1
    assert not shop.health.live
    assert shop.health.reasons() == ["the event loop has not moved for 4.0 s"]
    shop.loop.beat()
    assert shop.health.live


def test_before_it_serves_and_while_it_stops_it_is_alive_and_not_serving(shop: Shop) -> None:
    shop.pump.beat()
    shop.later(1_000)
    for shop.health.phase in ("is starting", "is stopping"):
        assert shop.health.live
        assert shop.health.reasons() == [shop.health.phase]


def test_the_log_has_it_once_when_it_stands_still_and_once_when_it_moves_again(shop: Shop) -> None:
    with structlog.testing.capture_logs() as lines:
        with shop.pump.at_work():
            for _ in range(5):
                shop.later(2.0)
                shop.health.tell_the_log()
        for _ in range(2):
            shop.health.tell_the_log()
    assert [line["event"] for line in lines] == ["health.lost", "health.regained"]
    assert lines[0]["reasons"] == ["order_svc: pump has not moved for 4.0 s"]


async def test_it_answers_while_the_event_loop_is_busy() -> None:
    health, answered = Health([]), threading.Event()
    health.phase = ""
    async with health.answering("127.0.0.1", 0) as port:
        asked = asyncio.create_task(asyncio.to_thread(_ask, port, "/ready", answered))
        await asyncio.sleep(0)
        # As long as the question is open the loop does nothing else, and yet there is an answer.
        deadline = time.monotonic() + 10
        while not answered.is_set() and time.monotonic() < deadline:
            pass
        assert answered.is_set()
        assert await asked == (200, {"serving": True, "live": True, "reasons": [], "troubles": []})


def _ask(port: int, path: str, answered: threading.Event | None = None) -> tuple[int, object]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    said = answer.status, json.load(answer)
    connection.close()
    if answered is not None:
        answered.set()
    return said


async def test_it_says_why_and_whether_a_new_start_would_help(shop: Shop) -> None:
    async with shop.health.answering("127.0.0.1", 0) as port:
        with shop.pump.at_work():
            shop.later(4.0)
            reasons = ["order_svc: pump has not moved for 4.0 s"]
            said = {"serving": False, "live": True, "reasons": reasons, "troubles": []}
            assert await asyncio.to_thread(_ask, port, "/ready") == (503, said)
            assert await asyncio.to_thread(_ask, port, "/live") == (200, said)


async def test_the_gatherer_whose_batch_is_not_done_stands_still_and_an_empty_one_rests() -> None:
    seconds, began, finish = Seconds(), asyncio.Event(), asyncio.Event()

    async def stuck(items: list[int]) -> list[int]:
        began.set()
        await finish.wait()
        return items

    gatherer: Gatherer[int, int] = Gatherer(stuck, name="test")
    gatherer.pulse = Pulse(clock=seconds)
    gatherer.start()
    caller = asyncio.create_task(gatherer.submit(1))
    await began.wait()
    seconds.now += 4.0
    assert gatherer.pulse.problem() == "has not moved for 4.0 s"
    finish.set()
    await caller
    await gatherer.stop()
    seconds.now += 1_000
    assert gatherer.pulse.problem() == ""


async def test_a_sweep_that_waits_for_its_store_stands_still_and_one_that_fails_by_itself_moves() -> None:
    runtime = RecordingRuntime("order_svc", "postgresql://nowhere.invalid/x", emits=[])
    tries = Counter[str]()

    def failing(name: str, error: Exception, seconds: Seconds) -> Callable[[], Awaitable[None]]:
        async def turn() -> None:
            tries[name] += 1
            seconds.now += 10
            raise error

        return turn

    for name, error in {"waits": psycopg.OperationalError("gone"), "fails": ValueError("a mistake")}.items():
        seconds = Seconds()
        runtime.every(Schedule(name, every_s=0.0), failing(name, error, seconds))
        runtime.pulses[name] = Pulse(clock=seconds)
    runtime.start()
    await eventually(lambda: min(tries["waits"], tries["fails"]) > 3, "both were tried three times")
    assert runtime.pulses["waits"].problem().endswith("waits for its store")
    assert runtime.pulses["fails"].problem() == ""
    assert runtime.pulses["fails"].trouble() == "fails each time: ValueError('a mistake')"
    assert runtime.pulses["waits"].trouble() == ""
    await runtime.close()


async def test_what_was_due_while_the_store_was_away_does_not_wait_for_its_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or the process would say for ten minutes that it waits for a store that is back."""
    runtime = RecordingRuntime("order_svc", "postgresql://nowhere.invalid/x", emits=[])
    sleep, slept, done = asyncio.sleep, 0.0, asyncio.Event()
    tries = iter([psycopg.OperationalError("gone"), psycopg.OperationalError("gone")])

    async def at_once(delay_s: float) -> None:
        nonlocal slept
        slept += 0.0 if done.is_set() else delay_s
        await sleep(0)

    async def turn() -> None:
        if error := next(tries, None):
            raise error
        done.set()

    runtime.every(Schedule("seldom", every_s=600.0), turn)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    runtime.start()
    await done.wait()
    assert 600 <= slept < 700
    monkeypatch.undo()
    await runtime.close()


def test_what_may_be_late_for_days_takes_no_work_away() -> None:
    runtime, seconds = RecordingRuntime("order_svc", "postgresql://nowhere.invalid/x", emits=[]), Seconds()
    of_every_context(runtime.every, runtime.database, runtime.outbox, {})
    for pulse in runtime.pulses.values():
        pulse._clock = seconds
        pulse.beat()
    seconds.now += 86_400.0
    late = {name for name, pulse in runtime.pulses.items() if pulse.problem()}
    assert late == {"bus", "outbox.forget", "outbox.resend"} & set(runtime.pulses)
    assert {"outbox.park", "partitions.make", "retention.let_go"} <= set(runtime.pulses)


class SilentBus:
    """A bus on which nothing comes, as if the broker were away."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def pull(self, *_: object) -> SilentBus:
        """Return a pull that never takes anything."""
        return self

    async def take(self, *, linger_s: float) -> list[object]:
        """Wait."""
        self.waits.set()
        await asyncio.Event().wait()
        return []


async def test_a_pump_that_waits_for_the_broker_is_well() -> None:
    bus, seconds = SilentBus(), Seconds()
    given = cast("Any", bus)
    pump: Pump[Any] = Pump(
        bus=given, steps=given, consumer="order_svc", subscriptions={}, scope=given, new_id=given
    )
    pump.pulse = Pulse(clock=seconds)
    running = asyncio.create_task(pump.run())
    await bus.waits.wait()
    seconds.now += 1_000
    assert pump.pulse.problem() == ""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
