"""What the order service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.runtime.settings import ContextSettings


class Settings(ContextSettings):
    """Settings of the order service."""

    # Where prices are looked up: the inventory service, host and port.
    inventory_target: str = "127.0.0.1:50052"
    # More open orders than this and a new one would wait longer than a buyer does: at 400 completed orders
    # a second, 1,000 are done in two and a half seconds.
    max_open_orders: int = Field(default=1_000, ge=1)
    # Receipts of buyers who gave no address go to `<customer>@<domain>`, their address on file.
    customer_email_domain: str = "customers.florin.test"
    # How long checkouts of a busy shop gather, at most, before they are accepted in one commit.
    intake_linger_ms: int = Field(default=30, ge=0, le=100)
