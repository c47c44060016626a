"""What the payment service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.runtime.settings import ContextSettings


class Settings(ContextSettings):
    """Settings of the payment service."""

    # Where the PSP's API is: at the provider's own address, or at the simulator's.
    psp_base_url: str = "http://127.0.0.1:12111"
    # Secret key of the account at the PSP.
    psp_api_key: str = Field(repr=False)
    # What the PSP signs its webhooks with.
    psp_webhook_secret: str = Field(repr=False)
    # How many searches a second this process may ask the PSP for. A PSP counts those of an account, whichever
    # process asks, and may allow no more than 20: with more than three of them, give each less.
    psp_searches_per_s: float = Field(default=5.0, gt=0)
    # Page of the shop to which a bank sends its customer back after 3-D Secure.
    return_url: str = "https://shop.florin.test/orders/return"
    # How long a buyer may take for 3-D Secure. After that the payment is cancelled at the PSP, so that the
    # stock can be given back without the money coming after all.
    action_ttl_s: float = Field(default=900.0, gt=0)
    # The platform's fee of each capture in basis points.
    platform_fee_bp: int = Field(default=250, ge=0, le=10_000)
    # Days that a PSP's webhooks stay as they were signed: longer than it sends one again, which is days.
    webhook_days: int = Field(default=90, ge=30, le=3_650)
    # How long what the PSP answers and sends gathers, at most, before it is applied in one commit.
    fact_linger_ms: int = Field(default=60, ge=0, le=100)
