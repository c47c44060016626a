"""Prices from the inventory service, remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
import structlog
from florin.inventory.v1.inventory_service_pb2 import BatchGetProductsRequest, ProductKey
from florin.inventory.v1.inventory_service_pb2_grpc import CatalogueServiceStub

from kit.values.errors import Unavailable
from kit.values.reasons import SERVICE_UNAVAILABLE
from order_svc.domain.pricing import Price

log = structlog.get_logger(__name__)

# A price may be this old when an order is placed: far below the time a buyer looks at it, and it makes the
# look-ups independent of the rate of checkouts (four a second).
FRESH_S: Final = 0.25

# Products nobody has asked for in this time are dropped from the common refresh.
_FORGET_AFTER_S: Final = 10.0

# The inventory answers in a few milliseconds; a checkout has no use for a later answer.
_DEADLINE_S: Final = 2.0

# One look-up has at most this many products (the contract's limit).
_MAX_KEYS: Final = 1_000

Key = tuple[str, str]

_CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
)


class RemoteCatalogue:
    """Prices by (merchant_id, sku), at most `FRESH_S` old.

    When one wanted product is not fresh, all that were wanted lately are fetched in one call, so that a
    busy shop costs a few calls a second and not one per checkout. Products that do not exist are never
    remembered, so a product can be bought as soon as it is put.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
        self._stub = CatalogueServiceStub(self._channel)
        self._prices: dict[Key, Price] = {}
        self._wanted_at: dict[Key, float] = {}
        self._fetched_at = float("-inf")
        # Callers at the same moment share one look-up instead of overwriting each other's.
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(grace=None)

    async def __call__(self, keys: Sequence[Key]) -> Mapping[Key, Price]:
        """Return the prices of products; unknown ones are left out.

        Raises:
            Unavailable: SERVICE_UNAVAILABLE, if the inventory does not answer.
        """
        async with self._turn:
            now = time.monotonic()
            self._wanted_at.update(dict.fromkeys(keys, now))
            stale = now - self._fetched_at > FRESH_S
            if stale or any(key not in self._prices for key in keys):
                await self._fetch(keys, now)
            return {key: self._prices[key] for key in keys if key in self._prices}

    async def _fetch(self, keys: Sequence[Key], now: float) -> None:
        lately = [key for key, at in self._wanted_at.items() if at > now - _FORGET_AFTER_S]
        wanted = list(dict.fromkeys([*keys, *reversed(lately)]))
        prices: dict[Key, Price] = {}
        # What a batch asks for is always fetched; of the others as many as fit into its last call.
        count = max(len(keys), min(len(wanted), _MAX_KEYS))
        for start in range(0, count, _MAX_KEYS):
            prices.update(await self._ask(wanted[start : min(start + _MAX_KEYS, count)]))
        self._prices = prices
        self._wanted_at = {key: self._wanted_at[key] for key in wanted[:count] if key in prices}
        self._fetched_at = now

    async def _ask(self, keys: Sequence[Key]) -> dict[Key, Price]:
        request = BatchGetProductsRequest(keys=[ProductKey(merchant_id=m, sku=s) for m, s in keys])
        try:
            answer = await self._stub.BatchGetProducts(request, timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            log.warning("catalogue.unavailable", code=error.code().name)
            raise Unavailable(
                SERVICE_UNAVAILABLE,
                "prices cannot be looked up now; send the request again with the same key",
                retry_after_s=1.0,
            ) from error
        return {(p.merchant_id, p.sku): Price(p.name, p.unit_amount, p.currency) for p in answer.products}
