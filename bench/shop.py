"""What the benchmark does at the edge besides buying: stock the shop, slow the provider down."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bench import carts
from bench.ground import Ground
from runner.access import tokens
from terminal.errors import CommandError

# A unit price that is no round number shows rounding where there is any.
_UNIT_AMOUNT: Final = 1_999

# The most that one adjustment may add; more than the longest run can sell of one product.
_STOCK: Final = 1_000_000

# Nothing of this is under load; the edge itself gives up after 15 s.
_DEADLINE_S: Final = 20.0


def buyers(ground: Ground, count: int) -> list[str]:
    """The tokens of `count` buyers."""
    return [
        tokens.mint(ground.settings, role="buyer", subject=f"bench_buyer_{number}") for number in range(count)
    ]


def stock_up(ground: Ground, products: int, *, on_product: Callable[[int], None] = lambda _: None) -> None:
    """Creates the products that `carts` are filled with, each with more stock than can be sold.

    Raises:
        CommandError: the edge refused.
    """
    settings = ground.settings
    token = tokens.mint(settings, role="merchant", subject="bench", merchant_id=carts.MERCHANT)
    headers = {"authorization": f"Bearer {token}"}
    with _connection(settings.local_host, settings.edge_port) as connection:
        for number in range(products):
            path = f"/v1/products/{carts.sku(number)}"
            product = {
                "name": f"Product {number}",
                "unit_amount": _UNIT_AMOUNT + number,
                "currency": carts.CURRENCY,
            }
            delivery = {"delta": _STOCK, "reason": "delivery"}
            for method, where, body in (("PUT", path, product), ("POST", f"{path}/stock:adjust", delivery)):
                key = {"idempotency-key": uuid.uuid4().hex}
                _call(connection, method, where, body, headers | key)
            on_product(number + 1)


@contextmanager
def provider_latency(ground: Ground, latency_ms: int) -> Iterator[None]:
    """The PSP simulator takes `latency_ms` longer for each call, until the end."""
    settings = ground.settings
    with _connection(settings.local_host, settings.psp_sim_port) as connection:
        before = _call(connection, "GET", "/_sim/config", None, {})
        _call(connection, "POST", "/_sim/config", {"latency_ms": latency_ms}, {})
    try:
        yield
    finally:
        with _connection(settings.local_host, settings.psp_sim_port) as connection:
            _call(connection, "POST", "/_sim/config", {"latency_ms": before["latency_ms"]}, {})


@contextmanager
def _connection(host: str, port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(host, port, timeout=_DEADLINE_S)
    try:
        yield connection
    finally:
        connection.close()


def _call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
) -> Any:
    try:
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {"content-type": "application/json", **headers},
        )
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise CommandError(f"{method} {path} got no answer: {error}.") from error
    if answer.status >= 300:
        raise CommandError(
            f"{method} {path} was answered {answer.status}.", detail=content.decode(errors="replace")
        )
    return json.loads(content)
