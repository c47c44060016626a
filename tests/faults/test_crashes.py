"""Any process may die at any moment: what was promised with 202 is kept."""

from __future__ import annotations

import asyncio

import pytest

from roster import ROSTER
from tests.support.load import RATE_PER_S, steady_load
from tests.support.shop import Shop

pytestmark = pytest.mark.xdist_group("faults")


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(tuple(ROSTER.processes), id="services"),
        pytest.param(("envoy", "psp_sim", "redis", "postgres"), id="edge-psp-and-stores"),
    ],
)
async def test_every_202_ends_though_each_process_is_killed_in_turn(
    shop: Shop, victims: tuple[str, ...]
) -> None:
    before = shop.system.restarts(victims)
    async with steady_load(shop) as load:
        for name in victims:
            await asyncio.to_thread(shop.system.kill_and_wait, name)
            # The next one dies when this one works again, so that each fault is seen by itself.
            await load.goes_on()
    assert shop.system.restarts(victims) == {name: count + 1 for name, count in before.items()}
    await load.ends_as_it_should()


async def test_every_202_ends_though_all_services_die_at_once(shop: Shop) -> None:
    before = shop.system.restarts(tuple(ROSTER.processes))
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        for name in tuple(ROSTER.processes):
            shop.system.kill(name)
        await asyncio.to_thread(shop.system.wait_restarted, before)
        await load.goes_on()
    await load.ends_as_it_should()
