"""A process closes all that it has opened, whatever fails on the way."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from kit.observe.pulse import Pulse
from kit.rpc import Servicer
from kit.runtime.context import Runtime
from kit.runtime.process import serve
from kit.runtime.settings import ProcessSettings
from tests.support.service import RecordingRuntime
from tests.support.stores import free_port
from tests.support.waiting import eventually


class Hosted:
    """A context that notes what its process does with it."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.servicers: list[Servicer] = []
        self.pulses: dict[str, Pulse] = {}
        self.seen: list[str] = []
        self._fails = fails

    async def open(self) -> None:
        self.seen.append("open")

    def start(self) -> None:
        self.seen.append("start")

    async def close(self) -> None:
        self.seen.append("close")
        if self._fails:
            raise RuntimeError("the store is away")


async def lived(*contexts: Hosted) -> None:
    """Let a process live for a moment with these contexts."""
    until = asyncio.Event()
    settings = ProcessSettings(drain_pause_s=0)
    await serve(settings, 0, cast("list[Any]", contexts), until=until, started=until.set)


async def test_a_context_is_opened_started_and_closed() -> None:
    context = Hosted("order_svc")
    await lived(context)
    assert context.seen == ["open", "start", "close"]


async def test_a_context_that_cannot_be_closed_keeps_no_other_from_it_and_is_not_passed_over() -> None:
    bad, good = Hosted("order_svc", fails=True), Hosted("payment_svc")
    with pytest.raises(RuntimeError, match="the store is away"):
        await lived(bad, good)
    assert good.seen == ["open", "start", "close"]


async def test_a_worker_that_fails_while_it_ends_has_ended() -> None:
    runtime, began = (
        RecordingRuntime("order_svc", "postgresql://nowhere.invalid/x", emits=[]),
        asyncio.Event(),
    )

    async def work() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            raise ValueError("what was left could not be done")

    runtime.worker("pump", work)
    runtime.start()
    await began.wait()
    async with asyncio.timeout(10):
        await runtime.close()


async def test_a_process_that_was_asked_to_end_says_so_and_serves_on_for_a_pause() -> None:
    """Whoever sends it work hears of it first; nobody is refused."""
    until, at_once, context, port = asyncio.Event(), asyncio.Event(), Hosted("order_svc"), free_port()
    settings = ProcessSettings(drain_pause_s=60)
    process = asyncio.create_task(serve(settings, port, [cast("Any", context)], until=until, at_once=at_once))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def says(status: HealthCheckResponse.ServingStatus) -> bool:
            answer = await HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True, timeout=5)
            return bool(answer.status == status)

        await eventually(lambda: says(HealthCheckResponse.SERVING), "it serves")
        until.set()
        await eventually(lambda: says(HealthCheckResponse.NOT_SERVING), "it says that it goes")
        assert context.seen == ["open", "start"], "and does its work meanwhile"
        assert not process.done()
        at_once.set()
        await process
    assert context.seen == ["open", "start", "close"]


class Closing(Runtime):
    """A runtime of which only the closing is real."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.doors = [self._see("door")]
        self.closers = [self._see("first closer"), self._see("failing closer"), self._see("last closer")]
        self._tasks = [asyncio.create_task(self._work())]
        self.outbox, self.bus, self.database = (cast("Any", self) for _ in range(3))

    def _see(self, what: str) -> Any:
        async def see() -> None:
            self.seen.append(what)
            if what.startswith("failing"):
                raise RuntimeError(what)

        return see

    async def _work(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append("worker ended")

    async def finish(self) -> None:
        self.seen.append("outbox")


async def test_doors_are_closed_before_workers_end_and_closers_run_in_reverse_whatever_fails() -> None:
    runtime = Closing()
    await asyncio.sleep(0)
    runtime.bus = runtime.database = cast("Any", _Store(runtime.seen))
    with pytest.raises(RuntimeError, match="failing closer"):
        await runtime.close()
    assert runtime.seen == [
        "door",
        "worker ended",
        "last closer",
        "failing closer",
        "first closer",
        "outbox",
        "store",
        "store",
    ]


class _Store:
    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    async def close(self) -> None:
        self._seen.append("store")
