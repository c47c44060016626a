"""The simulator of Stripe, one for each module, and gateways to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from payment_svc.adapters.stripe.gateway import StripeGateway
from tests.contract.psp_sim.shop import Shop, closed, opened
from tests.contract.stripe_adapter.payments import IMPATIENT_S, gateway_to


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    shop = await opened(tmp_path_factory.mktemp("psp_sim"))
    yield shop
    await closed(shop)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(shared_shop: Shop) -> AsyncIterator[Shop]:
    """The simulator with its controls, healthy again after each test."""
    yield shared_shop
    await shared_shop.control("POST", "reset")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(shared_shop: Shop) -> AsyncIterator[StripeGateway]:
    gateway = gateway_to(shared_shop.simulator.base_url)
    yield gateway
    await gateway.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def impatient(shared_shop: Shop) -> AsyncIterator[StripeGateway]:
    gateway = gateway_to(shared_shop.simulator.base_url, timeout_s=IMPATIENT_S)
    yield gateway
    await gateway.close()
