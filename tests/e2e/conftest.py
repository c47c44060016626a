"""One whole, traced system for all tests of this folder; each test has a shop of its own in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from runner.testing import System, running_system
from tests.support.collector import Collector, running_collector
from tests.support.ports import system_settings
from tests.support.proof import must_be_proven
from tests.support.shop import Shop, open_shop


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the system's spans go."""
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[System]:
    """Every process of the system, as `florin up` starts them. Tests may not break it."""
    data_dir = tmp_path_factory.mktemp("system") / "data"
    with (
        system_settings(data_dir, otlp_endpoint=collector.endpoint) as settings,
        running_system(settings) as system,
    ):
        yield system


@pytest.fixture(scope="module", autouse=True)
def proven(system: System) -> Iterator[None]:
    """Each module leaves books that agree with orders, stock and the PSP's own list."""
    yield
    must_be_proven(system)


@pytest.fixture
async def shop(system: System) -> AsyncIterator[Shop]:
    """A new merchant's shop."""
    async with open_shop(system) as shop:
        yield shop
