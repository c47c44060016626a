"""What processes and contexts are told by their environment; each context adds its own in `settings.py`."""

from __future__ import annotations

import secrets
from typing import Literal, TypeVar

from pydantic import Field
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)


class ProcessSettings(BaseSettings):
    """Settings of a process, whichever contexts it hosts."""

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, extra="ignore")

    # Address that the gRPC server listens on.
    bind_host: str = "127.0.0.1"
    # Port of the gRPC server, if it is not the roster's; `FLORIN_ORDER_PORT` and the like come before it.
    port: int | None = Field(default=None, ge=0, le=65_535)
    # Collector that takes spans by OTLP over gRPC; without one nothing is traced.
    otlp_endpoint: str = ""
    # Share of the requests without a trace of their own that is traced.
    trace_sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    # `auto` is JSON off a terminal and readable on one.
    log_format: Literal["auto", "json", "console"] = "auto"
    # Share of the checkouts of which each call that went well is a line, in every service's log. What was
    # refused or failed is always written, and so is every call of a request that is traced.
    log_follow_ratio: float = Field(default=0.01, ge=0.0, le=1.0)
    # The least important lines that are written.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class ContextSettings(BaseSettings):
    """Settings that all contexts share: validated, frozen, read from `FLORIN_…` once at the start.

    Where one process hosts several, a variable may name its context, `FLORIN_ORDER_DATABASE_URL` say; it then
    comes before the one that names none.
    """

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, extra="ignore")

    # The context's own database, as the role that may do only what the migrations grant.
    database_url: str = Field(repr=False)
    # The same database as the role that owns the schema; for `migrate` only.
    migrate_database_url: str = Field(default="", repr=False)
    # Where events are published and pulled.
    nats_url: str = "nats://127.0.0.1:42229"
    # Where answers to repeated requests are remembered; the context works without it.
    redis_url: str = "redis://127.0.0.1:63799"
    # Which of the replicas this process is, counted from 0: each handles the shards that are its own.
    replica_index: int = Field(default=0, ge=0)
    # How many replicas there are; all of them must be told the same.
    replica_count: int = Field(default=1, ge=1, le=16)
    # Signs page tokens. Left out, each process makes its own: then tokens end with it, and replicas do not
    # know each other's.
    page_token_key: str = Field(default_factory=lambda: secrets.token_hex(32), min_length=16, repr=False)
    # How long an event batch of a busy context fills, at most: longer is cheaper, shorter is faster. A
    # checkout passes four such batches, an intake and a fact, which leaves half of the second it may take.
    event_linger_ms: int = Field(default=100, ge=0, le=1_000)

    @property
    def replica(self) -> tuple[int, int]:
        """(index, count) of this replica."""
        return self.replica_index, self.replica_count


def read(kind: type[S], name: str) -> S:
    """Return settings from the environment: what names the context or process comes before what names none.

    Raises:
        ValidationError: one of them cannot be used, or is missing.
    """
    return kind(**EnvSettingsSource(kind, env_prefix=f"FLORIN_{name.upper()}_")())
