"""What the order service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.runtime.settings import ContextSettings


class Settings(ContextSettings):
    """Settings of the order service."""

    # Where prices are looked up: the inventory service, as gRPC writes a target. Several replicas are
    # `ipv4:host:port,host:port`, or `dns:///name:port` where a name has the addresses of all.
    inventory_target: str = "127.0.0.1:50052"
    # How long the last known prices serve while no replica of the inventory service answers: longer than its
    # restart or a change of its database, shorter than a merchant expects an old price to live. 0 refuses
    # checkouts at once.
    prices_max_age_s: float = Field(default=60.0, ge=0, le=3_600)
    # More orders under way than this and a new one would wait longer than a buyer does: at 400 completed
    # orders a second, 1,000 are done in two and a half seconds. Only orders of the last ten seconds count:
    # older ones wait for the PSP, a bank or somebody who is away, and even then this many are accepted in
    # ten seconds.
    max_open_orders: int = Field(default=1_000, ge=1)
    # Receipts of buyers who gave no address go to `<customer>@<domain>`, their address on file.
    customer_email_domain: str = "customers.florin.test"
    # How long a checkout waits for its turn before it is refused; together with the way there and back well
    # below 200 milliseconds.
    intake_patience_ms: int = Field(default=150, ge=10, le=5_000)
    # How long checkouts of a busy shop gather, at most, before they are accepted in one commit.
    intake_linger_ms: int = Field(default=30, ge=0, le=100)
    # Days that the steps of an order stay after it was placed; the order itself stays.
    timeline_days: int = Field(default=90, ge=30, le=3_650)
