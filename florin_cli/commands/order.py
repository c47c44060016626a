"""`florin order`: orders as an operator sees them."""

from __future__ import annotations

from typing import Annotated

import typer

from client import DEFAULT_DEADLINE_S, OrderPage
from runner.access import clients
from runner.settings import Settings
from terminal import calls, tables
from terminal.output import JsonOption, print_json, stdout

app = typer.Typer(name="order", help="Look at orders.", no_args_is_help=True)

OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", help="ord_…")]


@app.command()
def show(order_id: OrderId, as_json: JsonOption = False) -> None:
    """Show one order."""

    async def ask() -> None:
        async with clients.ops(Settings()) as edge:
            order = await edge.get_order(order_id)
        if as_json:
            print_json(order.document)
        else:
            stdout.print(tables.order(order))

    calls.run(ask())


@app.command("list")
def list_(
    customer: Annotated[str, typer.Option(help="Only this buyer's.")] = "",
    status: Annotated[str, typer.Option(help="Only those in this state, e.g. FAILED.")] = "",
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=100, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the newest orders."""
    settings = Settings()

    async def ask() -> OrderPage:
        async with clients.buyer(settings, customer) if customer else clients.ops(settings) as edge:
            return await edge.list_orders(status=status.upper(), page_size=limit)

    page = calls.run(ask())
    if as_json:
        print_json({"orders": [order.document for order in page.orders], "more": bool(page.next_page_token)})
    elif not page.orders:
        stdout.print("There are no such orders. `florin checkout` places one.")
    else:
        stdout.print(tables.orders(page.orders))
        if page.next_page_token:
            stdout.print(f"\nThere are more than {limit}.", style="dim")


@app.command()
def timeline(order_id: OrderId, as_json: JsonOption = False) -> None:
    """Show every step of an order's way through the services."""

    async def ask() -> None:
        async with clients.ops(Settings()) as edge:
            steps = await edge.timeline(order_id)
        if as_json:
            print_json({"order_id": order_id, "steps": [step.document for step in steps]})
            return
        stdout.print(tables.timeline(steps))
        traces = {step.trace_id for step in steps if step.trace_id}
        if traces:
            stdout.print(f"\ntrace {', '.join(sorted(traces))}", style="dim")

    calls.run(ask())


@app.command()
def watch(
    order_id: OrderId,
    deadline_s: Annotated[
        float, typer.Option("--deadline", min=0.1, help="Stop after so many seconds.")
    ] = DEFAULT_DEADLINE_S,
    as_json: JsonOption = False,
) -> None:
    """Show each change of an order as it happens, until it has ended."""

    async def follow() -> None:
        async with clients.ops(Settings()) as edge:
            async for order in edge.watch_order(order_id, deadline_s=deadline_s):
                if as_json:
                    print_json(order.document)
                else:
                    status = tables.coloured(order.status, order.outcome)
                    stdout.print(f"version {order.version}: {status}")

    calls.run(follow())
