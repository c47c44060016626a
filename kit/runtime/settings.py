"""What processes and contexts are told by their environment; each context adds its own in `settings.py`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import Field
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from kit.messaging.access import Access

S = TypeVar("S", bound=BaseSettings)

# Above the ports of all replicas on one machine, which lie close together.
HEALTH_PORT_STEP: Final = 1_000


class ProcessSettings(BaseSettings):
    """Settings of a process, whichever contexts it hosts."""

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, extra="ignore")

    # Address that the gRPC server listens on.
    bind_host: str = "127.0.0.1"
    # Port of the gRPC server, if it is not the roster's; `FLORIN_ORDER_PORT` and the like come before it.
    port: int | None = Field(default=None, ge=0, le=65_535)
    # Whether the process does its work is told at the port this far above that of the gRPC server.
    health_port_step: int = Field(default=HEALTH_PORT_STEP, ge=1)
    # How long a process that was asked to end (SIGTERM) goes on with its work after it has said NOT_SERVING:
    # longer than it takes whoever sends it work to hear of that. The edge asks every second; Kubernetes needs
    # some seconds more.
    drain_pause_s: float = Field(default=2.5, ge=0, le=60)
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

    def health_port(self, port: int) -> int:
        """Return where the process is asked for its health; anywhere, if it may serve anywhere."""
        return port + self.health_port_step if port else 0


class BusSettings(BaseSettings):
    """What the services and whoever watches them are told of NATS, besides where it is."""

    # On how many nodes of a cluster events are kept: 1 on a single server, 3 where one of three may be lost.
    nats_replicas: int = Field(default=1, ge=1, le=5)
    # Credentials as `nsc` writes them (`.creds`): a user's JWT and seed. A user and password, or a token, may
    # stand in the address instead.
    nats_credentials_file: Path | None = None
    # A user's seed alone, for servers that know its public key.
    nats_nkey_file: Path | None = None
    # Who has signed the certificates of the servers, if none of the authorities that this machine trusts.
    nats_ca_file: Path | None = None
    # Certificate and key that are shown to servers that ask for them.
    nats_certificate_file: Path | None = None
    # Goes with the certificate.
    nats_key_file: Path | None = None

    @property
    def nats_access(self) -> Access:
        """What NATS asks for."""
        return Access(
            credentials_file=self.nats_credentials_file,
            nkey_file=self.nats_nkey_file,
            ca_file=self.nats_ca_file,
            certificate_file=self.nats_certificate_file,
            key_file=self.nats_key_file,
        )


class ContextSettings(BusSettings):
    """Settings that all contexts share: validated, frozen, read from `FLORIN_…` once at the start.

    Where one process hosts several, a variable may name its context, `FLORIN_ORDER_DATABASE_URL` say; it then
    comes before the one that names none.
    """

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, extra="ignore")

    # The context's own database, as the role that may do only what the migrations grant. Several hosts,
    # separated by commas, are a primary and its standbys.
    database_url: str = Field(repr=False)
    # The address is that of a PgBouncer that pools transactions: statements are then not prepared.
    database_pooled: bool = False
    # The same database as the role that owns the schema; for `migrate` only.
    migrate_database_url: str = Field(default="", repr=False)
    # Where events are published and pulled: one server, or several of a cluster, separated by commas.
    nats_url: str = "nats://127.0.0.1:42229"
    # Where answers to repeated requests are remembered; the context works without it.
    redis_url: str = "redis://127.0.0.1:63799"
    # Signs page tokens. Left out, each process makes its own: then tokens end with it, and replicas do not
    # know each other's.
    page_token_key: str = Field(default_factory=lambda: secrets.token_hex(32), min_length=16, repr=False)
    # How long an event batch of a busy context fills, at most: longer is cheaper, shorter is faster. A
    # checkout passes four such batches, an intake and a fact, which leaves half of the second it may take.
    event_linger_ms: int = Field(default=100, ge=0, le=1_000)

    # Days that an event which was acted on is known: longer than it can be sent again, which is seven.
    inbox_days: int = Field(default=8, ge=8, le=365)
    # Days that a dead letter stays once a person has decided it; until then it stays anyway.
    dead_letter_days: int = Field(default=90, ge=8, le=3_650)


def read(kind: type[S], name: str) -> S:
    """Return settings from the environment: what names the context or process comes before what names none.

    Raises:
        ValidationError: one of them cannot be used, or is missing.
    """
    return kind(**EnvSettingsSource(kind, env_prefix=f"FLORIN_{name.upper()}_")())
