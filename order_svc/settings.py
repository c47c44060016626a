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
    # How long checkouts gather before they are accepted in one commit.
    intake_linger_ms: int = Field(default=12, ge=0, le=100)
    # Days that the steps of an order stay after it was placed; the order itself stays.
    timeline_days: int = Field(default=90, ge=30, le=3_650)
