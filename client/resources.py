"""What the edge answers with, as values. Each keeps the document it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

Document = Mapping[str, Any]

# An end is an end: these states are never left.
ENDED: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One product of an order; amounts in minor units."""

    sku: str
    name: str
    quantity: int
    unit_amount: int
    total_amount: int


@dataclass(frozen=True, slots=True)
class Order:
    """One purchase; amounts in minor units of `currency`."""

    id: str
    merchant_id: str
    customer_id: str
    status: str
    # Why it failed or was cancelled; empty otherwise.
    reason: str
    lines: tuple[OrderLine, ...]
    currency: str
    tax_amount: int
    total_amount: int
    payment_id: str
    payment_method_id: str
    # Where the buyer has to go; empty unless `status` is REQUIRES_ACTION.
    redirect_url: str
    correlation_id: str
    version: int
    created_at: datetime
    ended_at: datetime | None
    document: Document

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status in ENDED

    @property
    def outcome(self) -> str:
        """State and reason as one text: `COMPLETED`, `FAILED out_of_stock`."""
        return f"{self.status} {self.reason}".strip()

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """The order a document describes."""
        return cls(
            id=document["id"],
            merchant_id=document["merchant_id"],
            customer_id=document["customer_id"],
            status=document["status"],
            reason=document["reason"],
            lines=tuple(
                OrderLine(
                    line["sku"],
                    line["name"],
                    line["quantity"],
                    int(line["unit_amount"]),
                    int(line["total_amount"]),
                )
                for line in document["lines"]
            ),
            currency=document["currency"],
            tax_amount=int(document["tax_amount"]),
            total_amount=int(document["total_amount"]),
            payment_id=document["payment_id"],
            payment_method_id=document["payment_method_id"],
            redirect_url=(document.get("next_action") or {}).get("redirect_url", ""),
            correlation_id=document["correlation_id"],
            version=int(document["version"]),
            created_at=_time(document["create_time"]),
            ended_at=_time(document["end_time"]) if document.get("end_time") else None,
            document=document,
        )


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders, newest first, and the token of the next page; empty on the last."""

    orders: tuple[Order, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One step of an order's way."""

    time: datetime
    service: str
    step: str
    detail: str
    trace_id: str
    event_id: str
    document: Document

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """The step a document describes."""
        return cls(
            time=_time(document["time"]),
            service=document["service"],
            step=document["step"],
            detail=document["detail"],
            trace_id=document["trace_id"],
            event_id=document["event_id"],
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Product:
    """What a merchant sells, with its stock; `unit_amount` in minor units, tax included."""

    sku: str
    merchant_id: str
    name: str
    unit_amount: int
    currency: str
    on_hand: int
    reserved: int
    available: int
    sold: int
    version: int
    document: Document

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """The product a document describes."""
        return cls(
            sku=document["sku"],
            merchant_id=document["merchant_id"],
            name=document["name"],
            unit_amount=int(document["unit_amount"]),
            currency=document["currency"],
            on_hand=int(document["on_hand"]),
            reserved=int(document["reserved"]),
            available=int(document["available"]),
            sold=int(document["sold"]),
            version=int(document["version"]),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """Money on its way from a buyer to a merchant; amounts in minor units of `currency`."""

    id: str
    order_id: str
    status: str
    amount: int
    amount_captured: int
    amount_refunded: int
    fee_amount: int
    currency: str
    payment_method_id: str
    psp: str
    psp_reference: str
    # Why it failed; all three empty otherwise.
    failure_reason: str
    decline_code: str
    failure_message: str
    document: Document

    @classmethod
    def from_json(cls, document: Document) -> Self:
        """The payment a document describes."""
        failure = document.get("failure") or {}
        return cls(
            id=document["id"],
            order_id=document["order_id"],
            status=document["status"],
            amount=int(document["amount"]),
            amount_captured=int(document["amount_captured"]),
            amount_refunded=int(document["amount_refunded"]),
            fee_amount=int(document["fee_amount"]),
            currency=document["currency"],
            payment_method_id=document["payment_method_id"],
            psp=document["psp"],
            psp_reference=document["psp_reference"],
            failure_reason=failure.get("reason", ""),
            decline_code=failure.get("decline_code", ""),
            failure_message=failure.get("message", ""),
            document=document,
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
