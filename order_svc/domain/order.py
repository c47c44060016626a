"""The order: where it is on its way, and which moves are legal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final

from kit.values.errors import IllegalMove
from kit.values.reasons import ILLEGAL_STATE
from kit.values.trail import Trail
from order_svc.domain.pricing import PricedLine


class Status(Enum):
    """States of an order: those of `florin.order.v1.Order.Status` that can be entered."""

    PROCESSING = "PROCESSING"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


_ENDS: Final = {Status.COMPLETED, Status.FAILED}

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PROCESSING: frozenset({Status.REQUIRES_ACTION, Status.COMPLETED, Status.FAILED}),
    # Back to PROCESSING once the buyer has acted and the money is taken, until the rest is done.
    Status.REQUIRES_ACTION: frozenset({Status.PROCESSING, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
}


# What a buyer has to do when the PSP does not say it.
UNNAMED_ACTION: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Order:
    """An order. Amounts are in minor units of `currency`, tax included.

    It is paid for and accounted once it has a `journal_id`, and its goods are the buyer's once
    `stock_sold`; with both it is COMPLETED.
    """

    id: str
    merchant_id: str
    customer_id: str
    lines: tuple[PricedLine, ...]
    currency: str
    total_amount: int
    tax_amount: int
    payment_method_id: str
    receipt_email: str
    trail: Trail
    created_at: datetime
    updated_at: datetime
    shipping_address: Mapping[str, str] = field(default_factory=dict)
    attribution: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.PROCESSING
    reason: str = ""
    payment_id: str = ""
    journal_id: str = ""
    stock_sold: bool = False
    next_action_type: str = ""
    next_action_url: str = ""
    version: int = 1
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in _ENDS

    def _move(self, to: Status, at: datetime, reason: str = "") -> Order:
        if to not in TRANSITIONS[self.status]:
            raise self._illegal(to)
        waits = to is Status.REQUIRES_ACTION
        return replace(
            self,
            status=to,
            reason=reason,
            version=self.version + 1,
            updated_at=at,
            ended_at=at if to in _ENDS else None,
            next_action_type=self.next_action_type if waits else "",
            next_action_url=self.next_action_url if waits else "",
        )

    def _illegal(self, to: Status) -> IllegalMove:
        return IllegalMove(
            ILLEGAL_STATE,
            f"order {self.id} is {self.status.value} and cannot become {to.value}",
            metadata={"from": self.status.value, "to": to.value},
        )

    def require_action(self, payment_id: str, type_: str, url: str, at: datetime) -> Order:
        """Return the order waiting for its buyer; a no-op if it waits already or has gone on.

        There is always a kind of action, but not always a page to open: some happen in the shop's own app.
        """
        if self.status is not Status.PROCESSING or self.payment_id:
            return self
        waiting = replace(
            self, payment_id=payment_id, next_action_type=type_ or UNNAMED_ACTION, next_action_url=url
        )
        return waiting._move(Status.REQUIRES_ACTION, at)

    def paid(self, payment_id: str, at: datetime) -> Order:
        """Return the order with its money taken; a no-op if that is known.

        Raises:
            IllegalMove: it has failed; late money has to go back.
        """
        if self.status is Status.FAILED:
            raise self._illegal(Status.COMPLETED)
        known = replace(self, payment_id=payment_id, updated_at=at) if not self.payment_id else self
        return known._move(Status.PROCESSING, at) if known.status is Status.REQUIRES_ACTION else known

    def accounted(self, payment_id: str, journal_id: str, at: datetime) -> Order:
        """Return the order with its journal posted, COMPLETED if the stock is sold too."""
        if self.journal_id:
            return self
        return replace(self.paid(payment_id, at), journal_id=journal_id)._complete_if_done(at)

    def sold(self, at: datetime) -> Order:
        """Return the order with its stock sold, COMPLETED if its journal is posted too.

        Raises:
            IllegalMove: it has failed; its goods have to come back.
        """
        if self.stock_sold:
            return self
        if self.status is Status.FAILED:
            raise self._illegal(Status.COMPLETED)
        return replace(self, stock_sold=True, updated_at=at)._complete_if_done(at)

    def fail(self, reason: str, at: datetime, payment_id: str = "") -> Order:
        """Return the order FAILED for a reason; a no-op if it failed already.

        Raises:
            IllegalMove: its money is in the books or its goods are sold; that takes a refund, not a failure.
        """
        if self.status is Status.FAILED:
            return self
        if self.journal_id or self.stock_sold:
            raise self._illegal(Status.FAILED)
        return replace(self, payment_id=payment_id or self.payment_id)._move(Status.FAILED, at, reason)

    def _complete_if_done(self, at: datetime) -> Order:
        if not (self.journal_id and self.stock_sold) or self.status is Status.COMPLETED:
            return self
        return self._move(Status.COMPLETED, at)
