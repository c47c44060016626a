"""Postgres loses its primary, and its synchronous standby is promoted: every 202 ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest

from roster import ROSTER
from runner.testing import System, running_system
from tests.support.load import RATE_PER_S, steady_load
from tests.support.ports import system_settings
from tests.support.postgres_pair import Node, PostgresPair
from tests.support.proxy import Line, line_to
from tests.support.shop import Shop
from tests.support.stores import Stores

pytestmark = pytest.mark.xdist_group("postgres-failover")

# As long as whoever watches the primary takes to be sure that it is gone.
NOTICED_AFTER_S: Final = 2.0


@pytest.fixture(scope="module")
def pair(module_stores: Stores) -> PostgresPair:
    """A primary and its synchronous standby."""
    return PostgresPair(module_stores)


@pytest.fixture(scope="module")
def lines(pair: PostgresPair) -> Iterator[dict[Node, Line]]:
    """The only way of the system to each of the two."""
    with line_to(pair.primary.url) as one, line_to(pair.standby.url) as other:
        yield {pair.primary: one, pair.standby: other}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, lines: dict[Node, Line]) -> Iterator[System]:
    """A system of its own, which knows both."""
    data_dir = tmp_path_factory.mktemp("system-with-a-standby") / "data"
    hosts = ",".join(f"127.0.0.1:{line.port}" for line in lines.values())
    url = f"postgresql://florin:none@{hosts}/postgres"
    with system_settings(data_dir, postgres_url=url) as settings, running_system(settings) as system:
        yield system


# In this order the one that is not there any more is asked first, at each new connection.
@pytest.mark.parametrize("tells", [False, True], ids=["is-gone-without-a-word", "dies"])
async def test_every_202_ends_though_the_primary_is_lost_and_its_standby_promoted(
    shop: Shop, pair: PostgresPair, lines: dict[Node, Line], tells: bool
) -> None:
    """Its program may die, or its machine: then connections stay open, and new ones are not answered."""
    pids = {name: shop.system.process(name).pid for name in ROSTER.processes}
    lost, lost_line = pair.primary, lines[pair.primary]
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        lost_at = time.time()
        if tells:
            lost.kill()
        else:
            lost_line.swallow()
        await asyncio.sleep(NOTICED_AFTER_S)
        pair.promote()
        await load.is_served()
        await load.goes_on(orders=RATE_PER_S)
    await load.ends_as_it_should()
    await asyncio.to_thread(shop.system.wait_healthy)
    assert {name: shop.system.process(name).pid for name in ROSTER.processes} == pids, "all lived through it"
    lost.kill()
    lost_line.flow()
    print(f"from the loss: {await load.told_since(lost_at)}")
    pair.rejoin()
