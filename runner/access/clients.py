"""Clients of the running system: as a buyer, a merchant or an operator, and of its PSP simulator."""

from __future__ import annotations

from typing import Final

from client import EdgeClient, PspSimulator
from runner.access import tokens
from runner.settings import Settings

# Who the terminal is when it looks after the system.
_OPERATOR: Final = "usr_operator"
_MERCHANT_USER: Final = "usr_merchant"


def buyer(settings: Settings, customer_id: str) -> EdgeClient:
    """The edge as a shopper sees it: their own orders and payments."""
    return _edge(settings, tokens.mint(settings, role="buyer", subject=customer_id))


def merchant(settings: Settings, merchant_id: str) -> EdgeClient:
    """The edge as a seller sees it: their own products, and the orders for them."""
    token = tokens.mint(settings, role="merchant", subject=_MERCHANT_USER, merchant_id=merchant_id)
    return _edge(settings, token)


def ops(settings: Settings) -> EdgeClient:
    """The edge as an operator sees it: everybody's orders and payments."""
    return _edge(settings, tokens.mint(settings, role="ops", subject=_OPERATOR))


def psp(settings: Settings) -> PspSimulator:
    """The switches of the PSP simulator."""
    return PspSimulator(f"http://{settings.local_host}:{settings.psp_sim_port}")


def _edge(settings: Settings, token: str) -> EdgeClient:
    return EdgeClient(f"http://{settings.local_host}:{settings.edge_port}", token)
