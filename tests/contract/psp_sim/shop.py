"""A shop that pays at a simulator process with the real `stripe` library."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import stripe

from psp_sim.testing import API_KEY, SimulatorProcess, WebhookInbox


class Shop:
    """A merchant's side of the simulator: the Stripe client, the webhooks, the controls.

    Answers are typed Any: Stripe's types make nearly every field optional, and these tests are
    about the values.
    """

    def __init__(self, simulator: SimulatorProcess, inbox: WebhookInbox) -> None:
        self.simulator = simulator
        self.inbox = inbox
        self.session = aiohttp.ClientSession()
        self.stripe: Any = self.client()

    def client(self, *, timeout_s: float = 20.0, retries: int = 0) -> Any:
        return stripe.StripeClient(
            API_KEY,
            base_addresses={"api": self.simulator.base_url},
            http_client=stripe.AIOHTTPClient(timeout=timeout_s, session=self.session),
            max_network_retries=retries,
        )

    async def pay(self, method: str = "pm_card_visa", *, key: str | None = None, **params: Any) -> Any:
        return await self.pay_with(self.stripe, method, key=key, **params)

    async def pay_with(
        self,
        client: Any,
        method: str = "pm_card_visa",
        *,
        key: str | None = None,
        **params: Any,
    ) -> Any:
        return await client.v1.payment_intents.create_async(
            {
                "amount": 2000,
                "currency": "eur",
                "payment_method": method,
                "confirm": True,
                **params,
            },
            {"idempotency_key": key} if key else {},
        )

    async def control(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        url = f"{self.simulator.base_url}/_sim/{path}"
        async with self.session.request(method, url, json=document) as response:
            return response.status, await response.json()

    async def configure(self, **config: Any) -> None:
        status, document = await self.control("POST", "config", config)
        assert status == 200, document

    async def faults(self) -> dict[str, int]:
        _, stats = await self.control("GET", "stats")
        faults: dict[str, int] = stats["faults"]
        return faults

    async def close(self) -> None:
        await self.session.close()


async def opened(data_dir: Path, **environment: str) -> Shop:
    inbox = WebhookInbox()
    await inbox.start()
    simulator = SimulatorProcess(data_dir, webhook_url=inbox.url, **environment)
    await simulator.start()
    return Shop(simulator, inbox)


async def closed(shop: Shop) -> None:
    await shop.close()
    await shop.simulator.stop()
    await shop.inbox.stop()


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.02)
