"""`florin checkout`: buys something, through the edge, as a buyer would."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer
from rich.markup import escape

from client import DEFAULT_DEADLINE_S, Accepted, Cart, EdgeClient, Order
from demo import products
from runner.access import clients
from runner.settings import Settings
from terminal import calls, tables
from terminal.errors import EXIT_FAILED, EXIT_USAGE, CommandError
from terminal.output import JsonOption, print_json, stderr, stdout

app = typer.Typer()

# Beyond its end, an order that waits for its buyer is as far as it comes by itself.
_FAR_ENOUGH = ("COMPLETED", "FAILED", "CANCELLED", "REQUIRES_ACTION", "IN_REVIEW")


@app.command()
def checkout(
    sku: Annotated[list[str] | None, typer.Option(help="What to buy; may be repeated.")] = None,
    quantity: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="How many of it; once for each --sku, or 1 of each."),
    ] = None,
    payment_method: Annotated[
        str, typer.Option(help="The PSP's token; docs/reference/psp-simulator.md lists the test ones.")
    ] = "pm_card_visa",
    customer: Annotated[str, typer.Option(help="Who buys.")] = "cus_terminal",
    merchant: Annotated[str, typer.Option(help="Who sells.")] = products.MERCHANT,
    currency: Annotated[str, typer.Option(help="ISO 4217; the products' own if left out.")] = "",
    email: Annotated[str, typer.Option(help="Where the receipt goes.")] = "",
    country: Annotated[str, typer.Option(help="Where the goods go, e.g. DE: decides the tax.")] = "",
    key: Annotated[str, typer.Option(help="Idempotency key; a new one if left out.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return when the order has ended, or at once.")
    ] = True,
    deadline_s: Annotated[
        float, typer.Option("--deadline", min=0.1, help="Wait for so many seconds.")
    ] = DEFAULT_DEADLINE_S,
    as_json: JsonOption = False,
) -> None:
    """Place an order and show what became of it; ends with 1 if it failed."""
    settings = Settings()
    items = _items(sku or [products.MUG.sku], quantity or [])
    used_key = key or str(uuid.uuid4())

    async def buy() -> Order:
        async with clients.buyer(settings, customer) as edge:
            cart = Cart(
                merchant_id=merchant,
                items=items,
                currency=currency or await _currency(edge, next(iter(items)), merchant),
                payment_method_id=payment_method,
                receipt_email=email,
                country=country,
            )
            accepted = await edge.checkout(cart, key=used_key)
            if not as_json:
                _tell_accepted(accepted, used_key)
            if not wait:
                return accepted.order
            return await edge.wait_for_order(accepted.order.id, until=_FAR_ENOUGH, deadline_s=deadline_s)

    order = calls.run(buy())
    if as_json:
        print_json(order.document)
    else:
        stdout.print(tables.order(order))
        _tell_next(order)
    if order.status == "FAILED":
        raise typer.Exit(EXIT_FAILED)


def _items(skus: list[str], quantities: list[int]) -> dict[str, int]:
    if quantities and len(quantities) != len(skus):
        raise CommandError(
            f"There are {len(skus)} products and {len(quantities)} quantities.",
            way_out="Give one --quantity for each --sku, or none.",
            exit_code=EXIT_USAGE,
        )
    return dict(zip(skus, quantities or [1] * len(skus), strict=True))


async def _currency(edge: EdgeClient, sku: str, merchant_id: str) -> str:
    return (await edge.get_product(sku, merchant_id=merchant_id)).currency


def _tell_accepted(accepted: Accepted, key: str) -> None:
    again = " (again: this key had been used)" if accepted.replayed else ""
    stderr.print(f"[dim]{accepted.order.id} accepted{again}, idempotency key {escape(key)}[/]")


def _tell_next(order: Order) -> None:
    if order.redirect_url:
        stdout.print(f"\nThe buyer's bank asks to confirm: open {escape(order.redirect_url)}")
    stdout.print(f"\nEvery step: florin order timeline {order.id}", style="dim")
