"""One simulator for the tests of a module, or one for a test that kills it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.psp_sim.shop import Shop, closed, opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    shop = await opened(tmp_path_factory.mktemp("psp_sim"))
    yield shop
    await closed(shop)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(shared_shop: Shop) -> AsyncIterator[Shop]:
    """The simulator of this module, healthy again after each test."""
    yield shared_shop
    await shared_shop.control("POST", "reset")


@pytest_asyncio.fixture(loop_scope="module")
async def own_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A simulator for one test alone, which may kill it."""
    shop = await opened(tmp_path)
    yield shop
    await closed(shop)
