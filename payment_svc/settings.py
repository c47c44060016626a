"""What the payment service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the payment service."""

    # Port of the gRPC server.
    port: int = Field(default=50053, validation_alias="FLORIN_PAYMENT_PORT")
    # Stripe, or the simulator that speaks its protocol.
    psp_base_url: str = "http://127.0.0.1:12111"
    # Secret key of the account at the PSP.
    psp_api_key: str = Field(repr=False)
    # What the PSP signs its webhooks with.
    psp_webhook_secret: str = Field(repr=False)
    # The platform's fee of each capture in basis points.
    platform_fee_bp: int = Field(default=250, ge=0, le=10_000)
    # How long facts and webhooks gather before they are applied in one commit.
    fact_linger_ms: int = Field(default=25, ge=0, le=100)
