"""What the use cases need from outside, and what they are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inventory_svc.domain.product import AdjustStock, Price, Product, PutProduct
from inventory_svc.domain.reservation import Reservation
from inventory_svc.domain.stock import ProductKey, StockChange, StockLevel
from kit.values.ids import NewId


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there, and who has been served.

    Attributes:
        levels: stock of those products that exist.
        reserved: those of the orders that have a reservation.
    """

    levels: Mapping[ProductKey, StockLevel]
    reserved: frozenset[str]


class Stockroom(Protocol):
    """Stock and reservations, inside one step.

    Both writes raise `kit.store.database.Outdated`, and the step starts again, if a version has moved on.
    """

    async def survey(self, order_ids: Collection[str], products: Collection[ProductKey]) -> Survey:
        """Return what has to be known before stock is held for these orders."""

    async def reservations(self, order_ids: Collection[str]) -> dict[str, Reservation]:
        """Return the reservations of those orders that have one, by order."""

    async def add(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        """Store new reservations and change the stock, all or nothing; one change per product."""

    async def move(self, reservations: Sequence[Reservation], changes: Sequence[StockChange]) -> None:
        """Store reservations that have moved by one and change the stock, all or nothing."""


class Catalogue(Protocol):
    """Products as merchants see and change them; lists name a product once."""

    async def get(self, products: Collection[ProductKey]) -> dict[ProductKey, Product]:
        """Return those products that exist."""

    async def page(self, merchant_id: str, *, after_sku: str, limit: int) -> list[Product]:
        """Return the merchant's next products by sku."""

    async def prices(self, products: Collection[ProductKey]) -> list[Price]:
        """Return the prices of those products that exist."""

    async def put(self, commands: Sequence[PutProduct]) -> dict[ProductKey, Product]:
        """Create products or replace their names and prices."""

    async def adjust(self, commands: Mapping[str, AdjustStock]) -> dict[ProductKey, Product]:
        """Change stock where enough of it is free, log it under the command's id; return what changed."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a use case works with, for the length of one step."""

    stockroom: Stockroom
    catalogue: Catalogue
    new_id: NewId
