"""The shop that is loaded: its buyers, its products, and how fast its payment provider is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from bench import carts
from bench.system import System
from runner.access import clients, tokens
from terminal import calls

# A unit price that is no round number shows rounding where there is any.
_UNIT_AMOUNT: Final = 1_999

# The most that one adjustment may add; more than the longest run can sell of one product.
_STOCK: Final = 1_000_000


def buyers(system: System, count: int) -> list[str]:
    """The tokens of `count` buyers."""
    return [
        tokens.mint(system.settings, role="buyer", subject=f"bench_buyer_{number}") for number in range(count)
    ]


def stock_up(system: System, products: int, *, on_product: Callable[[int], None] = lambda _: None) -> None:
    """Creates the products that `carts` are filled with, each with more stock than can be sold.

    Raises:
        CommandError: the edge refused.
    """

    async def put() -> None:
        async with clients.merchant(system.settings, carts.MERCHANT) as merchant:
            for number in range(products):
                sku, unit_amount = carts.sku(number), _UNIT_AMOUNT + number
                await merchant.put_product(
                    sku, name=f"Product {number}", unit_amount=unit_amount, currency=carts.CURRENCY
                )
                await merchant.adjust_stock(sku, delta=_STOCK, reason="delivery")
                on_product(number + 1)

    calls.run(put())


@contextmanager
def provider_latency(system: System, latency_ms: int) -> Iterator[None]:
    """The PSP simulator takes `latency_ms` longer for each call, until the end."""
    before_ms = calls.run(_change_latency(system, latency_ms))
    try:
        yield
    finally:
        calls.run(_change_latency(system, before_ms))


async def _change_latency(system: System, latency_ms: int) -> int:
    """Returns what it was before."""
    async with clients.psp(system.settings) as psp:
        before_ms = int((await psp.config())["latency_ms"])
        await psp.change({"latency_ms": latency_ms})
    return before_ms
