"""Clients of the edge's REST API and of the PSP simulator: what commands, demo and tests call."""

from client.edge import DEFAULT_DEADLINE_S, Accepted, Cart, EdgeClient
from client.errors import UNREACHABLE, ApiError, FieldProblem, StillOpen
from client.http import Answer
from client.psp import PspSimulator
from client.resources import (
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
