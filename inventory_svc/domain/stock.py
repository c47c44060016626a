"""Units of products: who gets them when not all can have them, and what each move changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class ProductKey(NamedTuple):
    """Names a product of a merchant. A tuple: it is a dictionary key on the hottest path of the service."""

    merchant_id: str
    sku: str


Lines = Mapping[ProductKey, int]
"""Units of products, each at least 1."""


@dataclass(frozen=True, slots=True)
class StockLevel:
    """How much of a product there was when we looked.

    Attributes:
        version: of the product then; a write that is based on this level is refused if it has moved on.
    """

    on_hand: int
    reserved: int
    version: int

    @property
    def available(self) -> int:
        """Units that can be bought."""
        return self.on_hand - self.reserved


class Refusal(Enum):
    """Why an order gets nothing; the values are those of `StockRejected.reason`."""

    UNKNOWN_PRODUCT = "unknown_product"
    OUT_OF_STOCK = "out_of_stock"


@dataclass(frozen=True, slots=True)
class Refused:
    """An order that gets nothing, and the products that are missing."""

    reason: Refusal
    skus: tuple[str, ...]


class StockGone(Exception):
    """Late money for units that others have bought meanwhile."""


@dataclass(frozen=True, slots=True)
class StockChange:
    """What is to be added to the numbers of one product.

    Attributes:
        expected_version: the version this was decided on; None if it is right whatever happened since.
    """

    product: ProductKey
    on_hand: int = 0
    reserved: int = 0
    sold: int = 0
    expected_version: int | None = None


def allot(levels: Mapping[ProductKey, StockLevel], orders: Sequence[Lines]) -> list[Refused | None]:
    """Decide which orders get their units, in order of arrival; None means that an order gets all of them.

    Each order gets every line or none, so an order that is refused leaves its units to those behind it.

    Args:
        levels: of the products wanted; one that is missing here does not exist.
    """
    available = {product: level.available for product, level in levels.items()}
    return [_take(available, lines) for lines in orders]


def _take(available: dict[ProductKey, int], lines: Lines) -> Refused | None:
    assert lines, "an order without lines asks for nothing"
    assert min(lines.values()) >= 1, f"an order asks for units, not for {lines}"
    if unknown := tuple(product.sku for product in lines if product not in available):
        return Refused(Refusal.UNKNOWN_PRODUCT, unknown)
    if short := tuple(product.sku for product, units in lines.items() if units > available[product]):
        return Refused(Refusal.OUT_OF_STOCK, short)
    for product, units in lines.items():
        available[product] -= units
    return None


def hold(levels: Mapping[ProductKey, StockLevel], orders: Iterable[Lines]) -> list[StockChange]:
    """Return the changes that hold these orders, guarded by the versions they were decided on."""
    return [
        StockChange(product, reserved=units, expected_version=levels[product].version)
        for product, units in total(orders).items()
    ]


def sell(orders: Iterable[Lines]) -> list[StockChange]:
    """Return the changes that sell what these orders hold."""
    return [
        StockChange(product, on_hand=-units, reserved=-units, sold=units)
        for product, units in total(orders).items()
    ]


def give_back(orders: Iterable[Lines]) -> list[StockChange]:
    """Return the changes that free what these orders hold."""
    return [StockChange(product, reserved=-units) for product, units in total(orders).items()]


def total(orders: Iterable[Lines]) -> dict[ProductKey, int]:
    """Return the units of each product over all orders."""
    units: dict[ProductKey, int] = {}
    for lines in orders:
        for product, quantity in lines.items():
            units[product] = units.get(product, 0) + quantity
    return units


def combined(changes: Iterable[StockChange]) -> list[StockChange]:
    """Return one change for each product, by product: writers that keep this order do not deadlock."""
    sums: dict[ProductKey, StockChange] = {}
    for change in changes:
        known = sums.get(change.product)
        sums[change.product] = change if known is None else _sum(known, change)
    return [sums[product] for product in sorted(sums)]


def _sum(first: StockChange, second: StockChange) -> StockChange:
    versions = {first.expected_version, second.expected_version} - {None}
    assert len(versions) <= 1, f"changes of {first.product} were decided on different versions: {versions}"
    return StockChange(
        first.product,
        first.on_hand + second.on_hand,
        first.reserved + second.reserved,
        first.sold + second.sold,
        versions.pop() if versions else None,
    )
