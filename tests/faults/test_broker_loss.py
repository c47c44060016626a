"""NATS is a cache of the outboxes: whatever it forgets is sent again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import nats.errors
import nats.js.errors
import pytest

from kit.messaging.stream import STREAM
from runner.testing import System
from tests.support.broker import jetstream
from tests.support.load import RATE_PER_S, steady_load
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("faults")

# What a broker that is just coming up answers.
NOT_YET = (nats.errors.Error, nats.js.errors.Error, OSError)


async def made_at(system: System) -> dict[str, datetime]:
    """When each durable consumer was made, by name."""
    async with jetstream(system) as broker:
        return {each.name: each.created for each in await broker.consumers_info(STREAM) if each.created}


async def lose_the_disk(system: System) -> None:
    """Delete the data of the running broker, then kill it."""
    before = system.process("nats")
    assert before.data_dir is not None
    assert before.pid is not None
    shutil.rmtree(before.data_dir, ignore_errors=True)
    # The supervisor looks after the directory, too, and may be faster.
    with suppress(ProcessLookupError):
        os.kill(before.pid, signal.SIGKILL)
    await asyncio.to_thread(system.wait_restarted, {"nats": before.restarts})


async def delete_the_consumers(system: System) -> None:
    """Delete every durable consumer; the next ones begin a few seconds back."""
    async with jetstream(system) as broker:
        for consumer in await broker.consumers_info(STREAM):
            await broker.delete_consumer(STREAM, consumer.name)


async def delete_the_stream(system: System) -> None:
    """Delete the stream with all that waits in it."""
    async with jetstream(system) as broker:
        assert await broker.delete_stream(STREAM)


@pytest.mark.parametrize("lose", [lose_the_disk, delete_the_stream, delete_the_consumers])
async def test_every_202_ends_though_the_broker_forgets(
    shop: Shop, lose: Callable[[System], Awaitable[None]]
) -> None:
    before = await made_at(shop.system)
    assert len(before) == 5, "every service has its consumer"
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        await lose(shop.system)

        async def is_made_again() -> bool:
            try:
                now = await made_at(shop.system)
            except NOT_YET:
                return False
            return now.keys() == before.keys() and all(now[name] > before[name] for name in before)

        await eventually(is_made_again, "every consumer is made again")
        await load.goes_on(orders=RATE_PER_S)
    await load.ends_as_it_should()
