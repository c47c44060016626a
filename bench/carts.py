"""Checkouts ready to be sent: who buys, what, with which card."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MERCHANT: Final = "mer_bench"
CURRENCY: Final = "EUR"

_GOOD_CARD: Final = "pm_card_visa"
_DECLINED_CARD: Final = "pm_card_chargeDeclined"

# As many different carts as there are, no more: building them is not part of what is measured.
_DISTINCT_CARTS: Final = 2_000

# Small baskets, as in most shops.
_MAX_LINES: Final = 3
_MAX_UNITS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the buyers are like."""

    products: int
    # Share of the checkouts that contain the first product, the one everybody wants.
    hot_share: float = 0.0
    # Share of the checkouts paid with a card that is declined.
    declined_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Cart:
    """The body of one checkout, and whether its card is good."""

    body: bytes
    declined: bool


def sku(number: int) -> str:
    """The code of the product `number`, from 0."""
    return f"bench-{number:04d}"


def fill(mix: Mix, *, seed: int) -> list[Cart]:
    """Carts to send in turn, the same ones for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - a repeatable load, not a secret
    return [_cart(mix, number, dice) for number in range(_DISTINCT_CARTS)]


def _cart(mix: Mix, number: int, dice: random.Random) -> Cart:
    lines = min(dice.randint(1, _MAX_LINES), mix.products)
    chosen = dice.sample(range(mix.products), lines)
    if _falls_into(mix.hot_share, number) and 0 not in chosen:
        chosen[0] = 0
    declined = _falls_into(mix.declined_share, number)
    body: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "items": [{"sku": sku(each), "quantity": dice.randint(1, _MAX_UNITS)} for each in chosen],
        "currency": CURRENCY,
        "payment_method_id": _DECLINED_CARD if declined else _GOOD_CARD,
        "shipping_address": {"name": "B. Ench", "line1": "Ring 1", "city": "Berlin", "country": "DE"},
    }
    return Cart(json.dumps(body).encode(), declined)


def _falls_into(share: float, number: int) -> bool:
    """Whether `number` is one of an evenly spread `share`: a short run has its share, too."""
    return int((number + 1) * share) > int(number * share)


def head(*, host: str, token: str) -> bytes:
    """The first part of a buyer's request, up to where its key and its length follow."""
    return (
        f"POST /v1/checkouts HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
        "content-type: application/json\r\nidempotency-key: "
    ).encode()


def request(head: bytes, key: str, cart: Cart) -> bytes:
    """The whole request: a buyer's head, a key of its own, a cart."""
    return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (head, key.encode(), len(cart.body), cart.body)


def look_up(*, host: str, token: str, order_id: str) -> bytes:
    """The request by which a buyer looks at an order."""
    return (
        f"GET /v1/orders/{order_id} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"
    ).encode()


def order_id(body: bytes) -> str:
    """The id of the order that an answer 202 tells of."""
    return str(json.loads(body)["id"])


def chosen(carts: Sequence[Cart], number: int) -> Cart:
    """The cart of the checkout `number`."""
    return carts[number % len(carts)]
