"""One Envoy per module, with fake services behind it; see tests/support/edge.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from grpc import aio

from tests.support.edge import Buyer, Edge, Shop, Tokens, running_edge, serving, settings_for


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tokens: Tokens, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with serving(shop) as services:
        settings = settings_for(tmp_path_factory.mktemp("edge"), services)
        async with running_edge(settings, tokens.jwks) as running:
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def buyer(edge: Edge, tokens: Tokens) -> AsyncIterator[Buyer]:
    async with aiohttp.ClientSession(edge.url) as session:
        yield Buyer(session, tokens)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(edge: Edge) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(edge.target) as opened:
        yield opened
