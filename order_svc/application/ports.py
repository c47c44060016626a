"""What the use cases need from the outside world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kit.values.clock import Clock
from kit.values.ids import NewId
from order_svc.domain.order import Order, Status
from order_svc.domain.pricing import Price


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One step of an order's way; `(order_id, event_id)` makes it unique."""

    order_id: str
    event_id: str
    at: datetime
    service: str
    step: str
    detail: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders a caller wants to see; None means any."""

    customer_id: str | None = None
    merchant_id: str | None = None
    status: Status | None = None


class Orders(Protocol):
    """Orders inside a step."""

    async def add(self, orders: Sequence[Order]) -> None:
        """Insert new orders."""

    async def lock(self, order_ids: Sequence[str]) -> dict[str, Order]:
        """Return orders by id, locked until the step ends; ids that do not exist are left out."""

    async def save(self, orders: Sequence[Order]) -> None:
        """Write what moves of the orders have changed."""

    async def record(self, steps: Sequence[TimelineStep]) -> None:
        """Add steps to timelines; one that is there already is left as it is."""


class OrderReader(Protocol):
    """Orders as callers see them."""

    async def get(self, order_id: str) -> Order | None:
        """Return one order."""

    async def changed(self, versions: Mapping[str, int]) -> list[Order]:
        """Return those of these orders (id → version) that have a higher version by now."""

    async def page(self, wanted: OrderFilter, *, before_id: str, size: int) -> list[Order]:
        """Return orders with ids below `before_id` (empty: from the newest), newest first."""

    async def timeline(self, order_id: str) -> list[TimelineStep]:
        """Return the steps of one order, oldest first."""

    async def count_open(self, since: datetime, at_most: int) -> int:
        """Return how many orders are PROCESSING that were placed since then, or `at_most`."""


Catalogue = Callable[[Sequence[tuple[str, str]]], Awaitable[Mapping[tuple[str, str], Price]]]
"""Prices by (merchant_id, sku); unknown products are left out. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a use case is given for one step.

    Attributes:
        changed: told of each order a step has changed, once the step is committed.
    """

    orders: Orders
    new_id: NewId
    clock: Clock
    changed: Callable[[Sequence[Order]], None]
