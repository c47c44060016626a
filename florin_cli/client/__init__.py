"""A client of the edge's REST API: what the commands, the demo and the end-to-end tests call."""

from florin_cli.client.edge import DEFAULT_DEADLINE_S, Accepted, Cart, EdgeClient
from florin_cli.client.errors import UNREACHABLE, ApiError, FieldProblem, StillOpen
from florin_cli.client.http import Answer
from florin_cli.client.psp import PspSimulator
from florin_cli.client.resources import (
    ENDED,
    Order,
    OrderLine,
    OrderPage,
    Payment,
    Product,
    TimelineStep,
)

__all__ = [
    "DEFAULT_DEADLINE_S",
    "ENDED",
    "UNREACHABLE",
    "Accepted",
    "Answer",
    "ApiError",
    "Cart",
    "EdgeClient",
    "FieldProblem",
    "Order",
    "OrderLine",
    "OrderPage",
    "Payment",
    "Product",
    "PspSimulator",
    "StillOpen",
    "TimelineStep",
]
