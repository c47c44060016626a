"""Stripe's own lists: what it has taken and holds, and what moved our balance there, whatever we believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from payment_svc.adapters.stripe.amounts import exact_iso_amount
from payment_svc.proof import Money, NoListing, PspCharge, PspMovement

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

# Lines of the balance that are about no payment: what goes to our bank and comes back from it, and bills.
_PAYOUTS: Final = frozenset({"payout", "payout_cancel", "payout_failure", "stripe_fee", "tax_fee"})


class StripeListing:
    """Lists an account in plain HTTP: what is read here is compared, and decides nothing.

    Args:
        base_url: `https://api.stripe.com`, or the simulator's address.
    """

    def __init__(self, *, api_key: str, base_url: str) -> None:
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._url = f"{base_url.rstrip('/')}/v1"

    def __repr__(self) -> str:
        return f"StripeListing({self._url})"

    async def pages(self, since_s: int = 0) -> AsyncIterator[list[PspCharge]]:
        """Page through all PaymentIntents, newest first, on one connection.

        Raises:
            NoListing: there is no list to be had.
        """
        async for page in self._lists("payment_intents", since_s):
            yield [_charge(intent) for intent in page]

    async def movements(self, since_s: int = 0) -> AsyncIterator[list[PspMovement]]:
        """Page through all balance transactions, newest first, each with what it is about.

        Raises:
            NoListing: there is no list to be had.
        """
        # A refund and a dispute name their intent; that holds our id, as the charge's copy of it does.
        expand = {"expand[0]": "data.source", "expand[1]": "data.source.payment_intent"}
        async for page in self._lists("balance_transactions", since_s, **expand):
            yield [_movement(line) for line in page]

    async def payment(self, reference: str) -> PspCharge | None:
        """Return one PaymentIntent.

        Raises:
            NoListing: there is no answer to be had.
        """
        async with self._session() as session:
            intent = await self._answer(session, f"payment_intents/{reference}", {})
            return None if intent is None else _charge(intent)

    async def _lists(self, path: str, since_s: int, **params: str) -> AsyncIterator[list[dict[str, Any]]]:
        wanted = {"limit": str(_PAGE_SIZE), **params}
        if since_s:
            wanted["created[gte]"] = str(since_s)
        async with self._session() as session:
            after: dict[str, str] = {}
            while True:
                page = await self._answer(session, path, wanted | after)
                if page is None:
                    raise NoListing(f"{self._url} has no {path}")
                yield page["data"]
                if not page["has_more"]:
                    return
                after = {"starting_after": page["data"][-1]["id"]}

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=_PAGE_TIMEOUT_S)
        return aiohttp.ClientSession(headers=self._headers, timeout=timeout)

    async def _answer(
        self, session: aiohttp.ClientSession, path: str, params: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """Return what there is; None if there is nothing."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with session.get(f"{self._url}/{path}", params=params) as response:
                    if response.status == HTTPStatus.NOT_FOUND:
                        return None
                    response.raise_for_status()
                    answer: dict[str, Any] = orjson.loads(await response.read())
                    return answer
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
        created_s=int(intent.get("created") or 0),
    )


def _movement(line: Mapping[str, Any]) -> PspMovement:
    source = line.get("source")
    source = source if isinstance(source, Mapping) else {"id": source or ""}
    intent = source.get("payment_intent")
    # A charge has no metadata of ours if somebody made it by hand.
    about = (
        source.get("metadata") or {},
        (intent if isinstance(intent, Mapping) else {}).get("metadata") or {},
    )
    currency = str(line.get("currency") or "").upper()
    return PspMovement(
        reference=line["id"],
        kind=line.get("reporting_category") or line["type"],
        source=str(source.get("id") or ""),
        payment_id=next((each["payment_id"] for each in about if each.get("payment_id")), ""),
        currency=currency,
        amount=exact_iso_amount(int(line["amount"]), currency),
        created_s=int(line.get("created") or 0),
        is_payout=line["type"] in _PAYOUTS,
    )
