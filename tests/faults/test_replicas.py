"""Replicas come, go, die and are restarted under load: nobody notices, and every 202 ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from roster import ROSTER
from runner import replicas
from runner.testing import System, running_system
from tests.support.load import Load, steady_load
from tests.support.ports import system_settings
from tests.support.shop import Shop

pytestmark = pytest.mark.xdist_group("replicas")

# Twice as many processes as elsewhere share the machine, and one more is always about to start.
RATE_PER_S: Final = 15

TWO_OF_EACH: Final = {f"replicas_{context.name}": 2 for context in ROSTER if not context.host}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own, with two replicas of every service."""
    data_dir = tmp_path_factory.mktemp("replicated-system") / "data"
    with system_settings(data_dir, **TWO_OF_EACH) as settings, running_system(settings) as system:
        yield system


@asynccontextmanager
async def load_that_is_never_refused(shop: Shop) -> AsyncIterator[Load]:
    """Every checkout of the block is answered 202 at once, and ends as it should."""
    async with steady_load(shop, rate_per_s=RATE_PER_S) as load:
        await load.goes_on(orders=RATE_PER_S)
        yield load
        await load.goes_on(orders=RATE_PER_S)
    assert load.answers == {202: len(load.expected)}
    await load.ends_as_it_should()


def pids(system: System) -> dict[str, int | None]:
    """The pid of every replica, by name."""
    return {
        process.name: process.pid
        for process in system.state().processes
        if replicas.process_of(process.name) in ROSTER.processes
    }


async def test_a_rolling_restart_of_everything_refuses_and_loses_nobody(shop: Shop) -> None:
    before = pids(shop.system)
    async with load_that_is_never_refused(shop):
        restarted = await asyncio.to_thread(shop.system.restart)
    after = pids(shop.system)
    assert sorted(restarted) == sorted(before) == sorted(after)
    assert not set(before.values()) & set(after.values()), "each is another process now"


async def test_replicas_are_added_and_removed_and_the_others_are_not_touched(shop: Shop) -> None:
    """What is left with one replica can be restarted all the same: another stands beside it meanwhile."""
    before = pids(shop.system)
    async with load_that_is_never_refused(shop) as load:
        more, fewer = ("order_svc", "inventory_svc"), ("payment_svc", "ledger_svc")
        await asyncio.to_thread(
            shop.system.scale, **dict.fromkeys(more, 3), **dict.fromkeys(fewer, 1), notification_svc=2
        )
        await load.goes_on(orders=RATE_PER_S)
        assert await asyncio.to_thread(shop.system.restart, *fewer) == list(fewer)
        await load.goes_on(orders=RATE_PER_S)
        await asyncio.to_thread(shop.system.scale, **dict.fromkeys(ROSTER.processes, 2))
    after = pids(shop.system)
    assert after.keys() == before.keys()
    touched = {name for name in before if after[name] != before[name]}
    assert touched == {*fewer, *(f"{process}-2" for process in fewer)}


async def test_the_death_of_a_replica_of_each_is_noticed_by_nobody(shop: Shop) -> None:
    async with load_that_is_never_refused(shop) as load:
        for process in ROSTER.processes:
            await asyncio.to_thread(shop.system.kill_and_wait, process)
            await load.goes_on()
