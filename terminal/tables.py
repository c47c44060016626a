"""Orders, payments and timelines as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.markup import escape
from rich.table import Table

from client import Order, Payment, TimelineStep
from kit.values.money import format_minor

# Good and bad ends at a glance; what is not named is on its way.
_COLOURS: Final[Mapping[str, str]] = {
    "COMPLETED": "green",
    "CAPTURED": "green",
    "SETTLED": "green",
    "FAILED": "red",
    "CANCELLED": "red",
    "VOIDED": "red",
    "UNKNOWN": "magenta",
}


def coloured(status: str, text: str = "") -> str:
    """`text`, or the status itself, in the status's colour."""
    colour = _COLOURS.get(status, "yellow")
    return f"[{colour}]{escape(text or status)}[/]"


def facts(rows: Mapping[str, str]) -> Table:
    """Names and values below each other; rows without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def order(order: Order) -> Table:
    """One order with its lines."""
    lines = "\n".join(
        f"{line.quantity} x {escape(line.name)} ({escape(line.sku)})"
        f"  {format_minor(line.total_amount, order.currency)}"
        for line in order.lines
    )
    total = format_minor(order.total_amount, order.currency)
    tax = format_minor(order.tax_amount, order.currency)
    return facts(
        {
            "order": f"[bold]{order.id}[/]",
            "status": coloured(order.status, order.outcome),
            "lines": lines,
            "total": f"{total}, {tax} of it tax",
            "buyer": escape(order.customer_id),
            "seller": escape(order.merchant_id),
            "paid with": escape(order.payment_method_id),
            "payment": order.payment_id,
            "to do": escape(order.redirect_url),
            "placed": order.created_at.isoformat(sep=" ", timespec="milliseconds"),
            "took": _took(order),
            "correlation": order.correlation_id,
        }
    )


def orders(orders: Sequence[Order]) -> Table:
    """Many orders, one per line."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("order", no_wrap=True)
    table.add_column("status")
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("buyer", overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    for order in orders:
        total = format_minor(order.total_amount, order.currency)
        status = coloured(order.status, order.outcome)
        table.add_row(order.id, status, total, escape(order.customer_id), _took(order))
    return table


def timeline(steps: Sequence[TimelineStep]) -> Table:
    """An order's way: how long after its start each step was, who took it, and what it was."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("service", no_wrap=True, style="cyan")
    table.add_column("step", no_wrap=True)
    table.add_column("detail", overflow="fold", style="dim")
    for step in steps:
        after_ms = (step.time - steps[0].time).total_seconds() * 1000
        table.add_row(f"{after_ms:,.0f} ms", step.service, step.step, escape(step.detail))
    return table


def payment(payment: Payment) -> Table:
    """One payment."""
    failure = " ".join(
        part
        for part in (payment.failure_reason, f"({payment.decline_code})" if payment.decline_code else "")
        if part
    )
    money = {
        name: format_minor(amount, payment.currency)
        for name, amount in (
            ("amount", payment.amount),
            ("captured", payment.amount_captured),
            ("refunded", payment.amount_refunded),
            ("platform fee", payment.fee_amount),
        )
    }
    return facts(
        {
            "payment": f"[bold]{payment.id}[/]",
            "order": payment.order_id,
            "status": coloured(payment.status),
            **money,
            "paid with": escape(payment.payment_method_id),
            "provider": f"{payment.psp} {payment.psp_reference}".strip(),
            "failure": escape(failure),
            "": escape(payment.failure_message),
        }
    )


def _took(order: Order) -> str:
    if order.ended_at is None:
        return ""
    return f"{(order.ended_at - order.created_at).total_seconds():.2f} s"
