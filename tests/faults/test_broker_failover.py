"""A cluster of three NATS servers loses the one that leads: every 202 ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from roster import ROSTER
from runner.testing import System, running_system
from tests.support.load import RATE_PER_S, steady_load
from tests.support.nats_cluster import NODES, NatsCluster
from tests.support.ports import system_settings
from tests.support.shop import Shop
from tests.support.stores import Stores

pytestmark = pytest.mark.xdist_group("broker-failover")


@pytest.fixture(scope="module")
def cluster(module_stores: Stores) -> NatsCluster:
    """Three servers that are one."""
    cluster = NatsCluster(module_stores)
    cluster.start()
    asyncio.run(cluster.ready())
    return cluster


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, cluster: NatsCluster) -> Iterator[System]:
    """A system of its own, whose events are on all three servers."""
    data_dir = tmp_path_factory.mktemp("clustered-system") / "data"
    with (
        system_settings(data_dir, nats_url=cluster.url, nats_replicas=NODES) as settings,
        running_system(settings) as system,
    ):
        yield system


def health_lost(system: System) -> int:
    """How often a service has said that it does not serve."""
    logs = (system.settings.logs_dir / f"{process}.log" for process in ROSTER.processes)
    return sum(log.read_text().count("health.lost") for log in logs)


@pytest.mark.parametrize("keeps_its_disk", [True, False], ids=["as-it-was", "on-an-empty-disk"])
async def test_every_202_ends_though_the_node_that_leads_dies_and_comes_back(
    shop: Shop, cluster: NatsCluster, keeps_its_disk: bool
) -> None:
    await cluster.is_whole()
    restarts, lost_before = shop.system.restarts(ROSTER.processes), health_lost(shop.system)
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        leader = await cluster.leader()
        killed_at = time.time()
        leader.kill()
        await load.is_served()
        await load.goes_on(orders=RATE_PER_S)
        if not keeps_its_disk:
            leader.wipe()
        # Not in another thread: the kernel ends it together with the thread that started it.
        leader.start()
        await cluster.is_whole()
        await load.goes_on(orders=RATE_PER_S)
    await load.ends_as_it_should()
    assert health_lost(shop.system) == lost_before, "accepting orders takes no broker"
    assert shop.system.restarts(ROSTER.processes) == restarts
    print(f"from the kill: {await load.told_since(killed_at)}")
