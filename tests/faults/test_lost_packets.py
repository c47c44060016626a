"""Between a system and its Postgres packets get lost: it says so, is left alone, and goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial

import pytest

from roster import ROSTER
from runner import health
from runner.health import NotServing
from runner.process import UNHEALTHY_LIMIT_S
from runner.testing import System, running_system
from tests.support.load import RATE_PER_S, steady_load
from tests.support.ports import system_settings
from tests.support.proxy import Line, line_to
from tests.support.shop import Shop
from tests.support.stores import Postgres, Stores
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("lost-packets")


@pytest.fixture(scope="module")
def postgres(module_stores: Stores) -> Postgres:
    """A Postgres that the supervisor does not run."""
    return module_stores.private(Postgres)


@pytest.fixture(scope="module")
def line(postgres: Postgres) -> Iterator[Line]:
    """The only way of the system to its Postgres: setup, services, supervisor and proof take it."""
    with line_to(postgres.url) as line:
        yield line


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, line: Line) -> Iterator[System]:
    """A system of its own."""
    data_dir = tmp_path_factory.mktemp("remote-system") / "data"
    with (
        system_settings(data_dir, postgres_url=line.url(postgres.url)) as settings,
        running_system(settings) as system,
    ):
        yield system


def checks_of(system: System) -> dict[str, health.Check]:
    """What a service process is asked for its health, by name."""
    settings = system.settings
    return {
        process: health.service(settings.local_host, settings.health_port(settings.service_ports(process)[0]))
        for process in ROSTER.processes
    }


async def says_that_it_does_not_serve(check: health.Check) -> bool:
    try:
        await check()
    except NotServing:
        return True
    return False


@pytest.mark.parametrize("for_long", [False, True], ids=["until-told", "longer-than-a-deadlock-is-borne"])
async def test_every_202_ends_though_packets_get_lost(shop: Shop, line: Line, for_long: bool) -> None:
    """Each service says so itself, so nobody ends it, however long that lasts."""
    pids = {name: shop.system.process(name).pid for name in ROSTER.processes}
    told_after: dict[str, float] = {}
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        line.swallow()
        swallowed_at = time.time()
        try:
            for name, check in checks_of(shop.system).items():
                is_told = partial(says_that_it_does_not_serve, check)
                await eventually(is_told, f"{name} says that it does not serve")
                told_after[name] = round(time.time() - swallowed_at, 1)
            if for_long:
                await eventually(lambda: time.time() - swallowed_at > UNHEALTHY_LIMIT_S + 2, "it lasts")
        finally:
            line.flow()
        flows_at = time.time()
        await load.is_served()
        await asyncio.to_thread(shop.system.wait_healthy)
        healthy_after = time.time() - flows_at
        await load.goes_on(orders=RATE_PER_S)
    await load.ends_as_it_should()
    assert {name: shop.system.process(name).pid for name in ROSTER.processes} == pids, "all lived through it"
    print(
        f"told after {told_after} s; healthy {healthy_after:.1f} s after the packets flowed;"
        f" from then on: {await load.told_since(flows_at)}"
    )


async def test_every_202_ends_though_all_connections_are_lost_for_good(shop: Shop, line: Line) -> None:
    """As when a firewall forgets them: whoever connects anew gets through, and nobody says why."""
    async with steady_load(shop) as load:
        await load.goes_on(orders=RATE_PER_S)
        line.lose()
        lost_at = time.time()
        await load.is_served()
        await load.goes_on(orders=RATE_PER_S)
    await load.ends_as_it_should()
    print(f"from the loss: {await load.told_since(lost_at)}")
