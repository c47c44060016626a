"""One whole system for all tests of this folder. They hurt it, and leave it when it has healed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Final

import pytest

from runner.testing import System, running_system
from tests.support.ports import system_settings
from tests.support.proof import must_be_proven
from tests.support.shop import Shop, open_shop
from tests.support.stores import Stores

# As much of each log as says what happened to a process lately.
_LAST_LINES: Final = 8


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is told with what the hurt system said of itself: it may be gone when somebody looks."""
    report = yield
    system = getattr(item, "funcargs", {}).get("system")
    if report.failed and isinstance(system, System):
        report.sections.append(("The system", _told_by(system)))
    return report


def _told_by(system: System) -> str:
    processes = [
        f"{each.name}: {'healthy' if each.healthy else each.detail}, {each.restarts} restarts"
        for each in system.state().processes
    ]
    said = (system.settings.logs_dir / "supervisor.log").read_text().splitlines()
    return "\n".join([*processes, *said[-_LAST_LINES:]])


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Every process of the system, as `florin up` starts them."""
    data_dir = tmp_path_factory.mktemp("hurt-system") / "data"
    with system_settings(data_dir) as settings, running_system(settings) as system:
        yield system


@pytest.fixture(scope="module")
def module_stores() -> Iterator[Stores]:
    """For stores that a module has to itself, and its system uses in place of its own."""
    stores = Stores()
    yield stores
    stores.close()


@pytest.fixture(scope="module", autouse=True)
def proven(system: System) -> Iterator[None]:
    """Each module leaves books that agree with orders, stock and the PSP's own list."""
    yield
    must_be_proven(system)


@pytest.fixture
async def shop(system: System) -> AsyncIterator[Shop]:
    """A new merchant's shop, opened when the system is well."""
    system.wait_healthy()
    async with open_shop(system) as shop:
        yield shop
