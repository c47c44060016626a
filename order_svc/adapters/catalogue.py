"""Prices from the inventory service, remembered for a moment, or for as long as nobody can be asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

# With the last known prices at hand nobody is kept waiting for newer ones for longer than this.
_PATIENCE_S: Final = 0.2

# After it has not answered, the inventory is left alone for this long: those prices serve meanwhile.
_REST_S: Final = 1.0

# One look-up has at most this many products (the contract's limit).
_MAX_KEYS: Final = 1_000

Key = tuple[str, str]

# What breaks with the connection to one replica is asked of the next, which is a matter of milliseconds.
_RETRIES: Final = {
    "methodConfig": [
        {
            "name": [{"service": "florin.inventory.v1.CatalogueService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

_CHANNEL_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class _Known:
    """A price, and when it was asked for."""

    price: Price
    at: float


class RemoteCatalogue:
    """Prices by (merchant_id, sku), at most `FRESH_S` old while the inventory answers.

    When one wanted product is not fresh, all that were wanted lately are fetched in one call, so that a
    busy shop costs a few calls a second and not one per checkout. Products that do not exist are never
    remembered, so a product can be bought as soon as it is put.

    While nobody answers, the last known prices serve for a while. What nobody has asked for in that time is
    not made up.

    Args:
        target: as gRPC writes it. Of several addresses the first that answers is asked, until its connection
            breaks; then they are tried again from the first on, or looked up again by name.
        max_age_s: how long the last known prices serve.
    """

    def __init__(self, target: str, *, max_age_s: float) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
        self._stub = CatalogueServiceStub(self._channel)
        self._max_age_s = max_age_s
        # Those that were asked for longest ago come first.
        self._known: dict[Key, _Known] = {}
        self._wanted_at: dict[Key, float] = {}
        self._rests_until = float("-inf")
        # Callers at the same moment share one look-up instead of overwriting each other's.
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(grace=None)

    async def __call__(self, keys: Sequence[Key]) -> Mapping[Key, Price]:
        """Return the prices of products; unknown ones are left out.

        Raises:
            Unavailable: SERVICE_UNAVAILABLE, if the inventory does not answer and one price was not known.
        """
        async with self._turn:
            now = time.monotonic()
            self._wanted_at.update(dict.fromkeys(keys, now))
            if not self._all_since(keys, now - FRESH_S):
                await self._refresh(keys, now)
            return {key: self._known[key].price for key in keys if key in self._known}

    def _all_since(self, keys: Sequence[Key], since: float) -> bool:
        """Whether all these prices were asked for since then."""
        return all(key in self._known and self._known[key].at >= since for key in keys)

    async def _refresh(self, keys: Sequence[Key], now: float) -> None:
        self._forget_before(now - self._max_age_s)
        can_wait = all(key in self._known for key in keys)
        if now < self._rests_until:
            if can_wait:
                return
            raise _unavailable()
        try:
            await self._fetch(keys, now, _PATIENCE_S if can_wait else _DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            log.warning("catalogue.unavailable", code=error.code().name, known=can_wait)
            self._rests_until = time.monotonic() + _REST_S
            self._wanted_at = {key: at for key, at in self._wanted_at.items() if key in self._known}
            if not can_wait:
                raise _unavailable() from error

    async def _fetch(self, keys: Sequence[Key], now: float, deadline_s: float) -> None:
        lately = [key for key, at in self._wanted_at.items() if at > now - _FORGET_AFTER_S]
        wanted = list(dict.fromkeys([*keys, *reversed(lately)]))
        prices: dict[Key, Price] = {}
        # What a batch asks for is always fetched; of the others as many as fit into its last call.
        asked = wanted[: max(len(keys), min(len(wanted), _MAX_KEYS))]
        for start in range(0, len(asked), _MAX_KEYS):
            prices.update(await self._ask(asked[start : start + _MAX_KEYS], deadline_s))
        for key in asked:
            self._known.pop(key, None)
        self._known.update({key: _Known(price, now) for key, price in prices.items()})
        self._wanted_at = {key: self._wanted_at[key] for key in asked if key in prices}

    async def _ask(self, keys: Sequence[Key], deadline_s: float) -> dict[Key, Price]:
        request = BatchGetProductsRequest(keys=[ProductKey(merchant_id=m, sku=s) for m, s in keys])
        answer = await self._stub.BatchGetProducts(request, timeout=deadline_s)
        return {(p.merchant_id, p.sku): Price(p.name, p.unit_amount, p.currency) for p in answer.products}

    def _forget_before(self, since: float) -> None:
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest].at >= since:
                return
            del self._known[oldest]


def _unavailable() -> Unavailable:
    return Unavailable(
        SERVICE_UNAVAILABLE,
        "prices cannot be looked up now; send the request again with the same key",
        retry_after_s=1.0,
    )
