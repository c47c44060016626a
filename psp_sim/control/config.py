"""The global behaviour that `/_sim/config` shows and changes at run time."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
# Two minutes is longer than any caller waits; more would only hide a typing error.
Milliseconds = Annotated[int, Field(ge=0, le=120_000)]


class WebhookConfig(BaseModel):
    """How events travel to the webhook endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Wait before each delivery.
    delay_ms: Milliseconds = 0
    # Share of events that are delivered twice.
    duplicate_rate: Rate = 0.0
    # Each event waits a random while, so that neighbours overtake each other.
    reorder: bool = False
    # Share of events that are never delivered.
    drop_rate: Rate = 0.0
    # With each event goes a made-up one with a wrong signature.
    forge: bool = False


class SimConfig(BaseModel):
    """How the simulator behaves towards every caller; the defaults are a healthy provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Wait before a request is executed, plus a random part of up to the jitter.
    latency_ms: Milliseconds = 0
    latency_jitter_ms: Milliseconds = 0
    # Every API call is answered 503.
    outage: bool = False
    # Share of calls answered 500 before anything happened.
    error_rate: Rate = 0.0
    # Share of POSTs with a key that break while they are executed: nothing is left of them, but their 500 is,
    # under the key, and is answered again whenever the key comes.
    stored_error_rate: Rate = 0.0
    # Share of calls that are executed and then cut off without an answer.
    drop_response_rate: Rate = 0.0
    # Share of calls answered 429 before anything happened.
    rate_limit_rate: Rate = 0.0
    # Every POST acts anew, as at a provider without idempotency.
    ignore_idempotency_keys: bool = False
    webhook: WebhookConfig = WebhookConfig()

    def changed_by(self, change: dict[str, Any]) -> "SimConfig":
        """Return this configuration with the given keys replaced, those of `webhook` one by one.

        Raises:
            pydantic.ValidationError: for an unknown key or a value out of range.
        """
        merged = {**self.model_dump(), **change}
        if isinstance(change.get("webhook"), dict):
            merged["webhook"] = {**self.webhook.model_dump(), **change["webhook"]}
        return SimConfig.model_validate(merged)
