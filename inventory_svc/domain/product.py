"""Products as merchants describe them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from inventory_svc.domain.reasons import PRODUCT_NOT_FOUND, STOCK_TOO_LOW
from inventory_svc.domain.stock import ProductKey
from kit.values.errors import FieldProblem, IllegalMove, InvalidRequest, NotFound
from kit.values.money import known_currencies
from kit.values.reasons import CARD_NUMBER_REFUSED, CURRENCY_MISMATCH
from kit.values.redaction import contains_card_number


@dataclass(frozen=True, slots=True)
class Product:
    """Something a merchant sells, with its price in minor units and its stock."""

    key: ProductKey
    name: str
    unit_amount: int
    currency: str
    on_hand: int
    reserved: int
    sold: int
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def available(self) -> int:
        """Units that can be bought."""
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class Price:
    """What a checkout needs to know of a product; `unit_amount` in minor units, tax included."""

    key: ProductKey
    name: str
    unit_amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class PutProduct:
    """Create a product, or replace its name and price."""

    key: ProductKey
    name: str
    unit_amount: int
    currency: str

    def check(self) -> None:
        """Refuse what no product may be.

        Raises:
            InvalidRequest: the currency is not one of ISO 4217, or something looks like a card number.
        """
        if self.currency not in known_currencies():
            problem = FieldProblem("currency", f"{self.currency} is not a currency of ISO 4217")
            raise InvalidRequest(
                CURRENCY_MISMATCH, f"{problem.problem}; use one such as EUR", fields=(problem,)
            )
        refuse_card_number("name", self.name)


@dataclass(frozen=True, slots=True)
class AdjustStock:
    """Add units to a product's stock (`delta` > 0) or remove them."""

    key: ProductKey
    delta: int
    reason: str

    def check(self) -> None:
        """Refuse what no adjustment may be.

        Raises:
            InvalidRequest: the reason looks like a card number.
        """
        refuse_card_number("reason", self.reason)


def refuse_card_number(field: str, text: str) -> None:
    """Raise `InvalidRequest` if a text looks like a card number, without repeating it."""
    if contains_card_number(text):
        problem = FieldProblem(field, "looks like a card number")
        raise InvalidRequest(
            CARD_NUMBER_REFUSED, f"{field} {problem.problem}; write something else", fields=(problem,)
        )


def unknown_product(key: ProductKey) -> NotFound:
    """Return the refusal for a product that the merchant does not sell."""
    return NotFound(PRODUCT_NOT_FOUND, f"the merchant has no product {key.sku!r}", metadata={"sku": key.sku})


def too_few_units(product: Product, command: AdjustStock) -> IllegalMove:
    """Return the refusal to remove more units than are free."""
    return IllegalMove(
        STOCK_TOO_LOW,
        f"{product.available} units of {product.key.sku!r} are free, so {-command.delta} cannot be removed;"
        f" {product.reserved} more are reserved",
        metadata={"available": str(product.available), "reserved": str(product.reserved)},
    )
