"""Somebody else's Stripe: localstripe in a process of its own, so that two readings of Stripe's API meet.

localstripe (https://github.com/adrienverge/localstripe) is a development dependency only; nothing of it is
imported here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from tests.support.stores import free_port
from tests.support.waiting import eventually

API_KEY: Final = "sk_test_florin"

# Its own start-up command listens on every address and keeps its state in a file that all users share. And it
# refuses `return_url`, which Stripe asks for.
_PROGRAM: Final = """
import sys
from aiohttp import web
from localstripe import resources, server
type(resources.store).dump_to_disk = lambda self: None
create = resources.PaymentIntent._api_create.__func__
resources.PaymentIntent._api_create = classmethod(lambda cls, return_url=None, **data: create(cls, **data))
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def why_not() -> str:
    """Return why it cannot run here; empty if it can."""
    return "" if importlib.util.find_spec("localstripe") else "localstripe is not installed: run `make env`"


@dataclass(frozen=True, slots=True)
class LocalStripe:
    """A running localstripe."""

    base_url: str
    session: aiohttp.ClientSession

    async def post(self, path: str, **form: str) -> dict[str, Any]:
        """Return the answer to a call of its API, as a customer's browser or a test makes it."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with self.session.post(f"{self.base_url}{path}", data=form, headers=headers) as response:
            document: dict[str, Any] = await response.json()
        assert response.status == 200, document
        return document

    async def card(self, number: str) -> str:
        """Return a payment method for one of Stripe's published test cards."""
        method = await self.post(
            "/v1/payment_methods",
            **{
                "type": "card",
                "card[number]": number,
                "card[exp_month]": "12",
                "card[exp_year]": "2040",
                "card[cvc]": "123",
            },
        )
        return str(method["id"])

    async def answers(self) -> bool:
        """Return whether it listens."""
        try:
            async with self.session.get(f"{self.base_url}/js.stripe.com/v3/") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def running_localstripe() -> AsyncIterator[LocalStripe]:
    """A localstripe of one's own on a free port, until the end."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, str(port))
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            stripe = LocalStripe(f"http://127.0.0.1:{port}", session)
            await eventually(stripe.answers, "localstripe listens")
            yield stripe
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
