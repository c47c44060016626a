"""Stripe's own list of payments: what it has taken and holds, whatever we believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import orjson

from payment_svc.adapters.stripe.amounts import exact_iso_amount
from payment_svc.proof import Money, NoListing, PspCharge

# As many as Stripe gives at once.
_PAGE_SIZE: Final = 100

# A page takes milliseconds at the simulator, a second at Stripe on a bad day.
_PAGE_TIMEOUT_S: Final = 20.0

# A list must not fail because of one bad answer: as often as this, with growing pauses.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.25

# What the status of a PaymentIntent says of the buyer's money; by any other, Stripe has nothing of it.
_MONEY: Final[Mapping[str, Money]] = {
    "succeeded": Money.TAKEN,
    "requires_capture": Money.HELD,
    # It may still be taken.
    "processing": Money.HELD,
}


class StripeListing:
    """Lists an account's PaymentIntents, in plain HTTP: what is read here is compared, and decides nothing.

    Args:
        base_url: `https://api.stripe.com`, or the simulator's address.
    """

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._api_key = api_key
        self._url = f"{base_url.rstrip('/')}/v1/payment_intents"

    def __repr__(self) -> str:
        return f"StripeListing({self._url})"

    async def pages(self) -> AsyncIterator[list[PspCharge]]:
        """Page through all PaymentIntents, newest first, on one connection.

        Raises:
            NoListing: there is no list to be had.
        """
        headers = {"Authorization": f"Bearer {self._api_key}"}
        timeout = aiohttp.ClientTimeout(total=_PAGE_TIMEOUT_S)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            after: dict[str, str] = {}
            while True:
                page = await self._page(session, {"limit": str(_PAGE_SIZE), **after})
                yield [_charge(intent) for intent in page["data"]]
                if not page["has_more"]:
                    return
                after = {"starting_after": page["data"][-1]["id"]}

    async def _page(self, session: aiohttp.ClientSession, params: Mapping[str, str]) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with session.get(self._url, params=params) as response:
                    response.raise_for_status()
                    page: dict[str, Any] = orjson.loads(await response.read())
                    return page
            except (aiohttp.ClientError, TimeoutError) as error:
                if attempt == _ATTEMPTS:
                    raise NoListing(repr(error)) from error
                await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _charge(intent: Mapping[str, Any]) -> PspCharge:
    metadata = intent.get("metadata") or {}
    currency = str(intent.get("currency") or "").upper()
    return PspCharge(
        reference=intent["id"],
        payment_id=metadata.get("payment_id", ""),
        order_id=metadata.get("order_id", ""),
        currency=currency,
        taken_amount=exact_iso_amount(int(intent.get("amount_received") or 0), currency),
        money=_MONEY.get(intent["status"], Money.NONE),
        status=intent["status"],
    )
