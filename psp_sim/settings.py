"""What the simulator is told by its environment; the only reader of it."""

from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# What an endpoint of a shop subscribes to. Stripe has some 250 types of event; an endpoint that
# takes all of them pays for parsing what it ignores.
DEFAULT_WEBHOOK_EVENTS: Final = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.processing",
    "charge.refunded",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.closed",
)


class Settings(BaseSettings):
    """The simulator's settings, each from the environment variable `FLORIN_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, extra="ignore")

    # Address to listen on.
    bind_host: str = "127.0.0.1"
    # 0 lets the kernel choose; the start-up log line says which port it was.
    psp_sim_port: int = Field(default=12111, ge=0, le=65535)
    # How a buyer's browser reaches the 3-D Secure page; empty means by the address bound to.
    psp_sim_public_url: str = ""
    # Its state is in `psp_sim` below.
    data_dir: Path = Path(".florin")
    # Port of the edge, where webhooks go by default.
    edge_port: int = Field(default=8080, ge=1, le=65535)
    # Any key that starts with sk_test_ is accepted while this is empty, else only this one.
    psp_api_key: SecretStr = SecretStr("")
    # What webhooks are signed with.
    psp_webhook_secret: SecretStr = SecretStr("whsec_florin_simulator")
    # Empty means the edge's own webhook route.
    psp_webhook_url: str = ""
    # Comma-separated types; empty means DEFAULT_WEBHOOK_EVENTS, `*` means all there are.
    psp_webhook_events: str = ""
    # The same seed rolls the same dice for error_rate and its kin; ids stay random.
    psp_sim_seed: int | None = None
    # The least important lines that are written.
    log_level: str = "info"

    @property
    def state_dir(self) -> Path:
        """Where the simulator remembers what it did."""
        return self.data_dir / "psp_sim"

    def public_url(self, port: int) -> str:
        """Return the address at which others reach the simulator on a port."""
        anywhere = self.bind_host in ("", "0.0.0.0", "::")  # noqa: S104 - it is asked, not bound
        host = "127.0.0.1" if anywhere else self.bind_host
        return self.psp_sim_public_url.rstrip("/") or f"http://{host}:{port}"

    @property
    def webhook_url(self) -> str:
        """Where webhooks go."""
        return self.psp_webhook_url or f"http://127.0.0.1:{self.edge_port}/v1/webhooks/stripe"

    @property
    def webhook_events(self) -> frozenset[str]:
        """The types of event that the endpoint is subscribed to; `*` stands for every type."""
        named = {name.strip() for name in self.psp_webhook_events.split(",") if name.strip()}
        return frozenset(named or DEFAULT_WEBHOOK_EVENTS)
