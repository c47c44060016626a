"""What has to be known of an installation to write its edge."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kit.runtime.settings import HEALTH_PORT_STEP
from roster import ROSTER


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host and port that Envoy connects to, and the port at which it is asked for its health."""

    host: str
    port: int
    health_port: int | None = None

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read `host:port` or `scheme://host:port/…`.

        Raises:
            ValueError: There is no port in it.
        """
        authority = address.rpartition("//")[2].partition("/")[0]
        host, colon, port = authority.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise ValueError(f"{address!r} is not an address: write host:port")
        return cls(host.strip("[]"), int(port))

    @property
    def is_ip(self) -> bool:
        """True if no name has to be resolved."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


def default_upstreams() -> dict[str, tuple[Endpoint, ...]]:
    """One replica of each process on this machine, on the ports of the contract."""
    return {process: (_on_this_machine(port),) for process, port in ROSTER.processes.items()}


def _on_this_machine(port: int, health_port_step: int = HEALTH_PORT_STEP) -> Endpoint:
    return Endpoint("127.0.0.1", port, port + health_port_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """Where things are and how much is let through.

    The defaults are the contract's; only `data_dir`, where everything written goes, has none.
    """

    data_dir: Path
    bind_host: str = "127.0.0.1"
    edge_port: int = 8080
    admin_port: int = 9901
    # The replicas of each process, by its name.
    upstreams: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=default_upstreams)
    # Public keys that tokens are checked with; `<data_dir>/keys/jwks.json` if None.
    jwks_path: Path | None = None
    # Collector that takes OTLP over gRPC. Without one nothing is exported and new traces are begun
    # unsampled; a caller's own is passed on as it is.
    otlp: Endpoint | None = None
    # Share of the requests without a trace of their own that is traced.
    trace_sample_ratio: float = 1.0
    # Share of the successful requests in the access log; failures are always in it. 0 switches the
    # log off, failures too, which is for benchmarks.
    access_log_ratio: float = 1.0
    # Longer than the slowest answer (a direct payment waits 2 s for its PSP), shorter than the
    # 30 s after which most HTTP clients give up.
    request_timeout_s: float = 15.0
    # A watched order may wait for its buyer; a stream that says nothing for so long is given up,
    # and whoever still wants it asks again.
    watch_idle_timeout_s: float = 300.0
    # Requests to one service that are being answered; more are refused at once. Watches and webhooks do not
    # count.
    max_in_flight: int = 1024
    # A cart of 100 lines is 10 KB; a PSP's largest webhooks are well under this.
    max_request_bytes: int = 256 * 1024
    # Origins of web shops that may call from a browser, or `*`; this machine's own always may.
    cors_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("trace_sample_ratio", "access_log_ratio"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share, 0 to 1, not {getattr(self, name)}")
        for name in (
            "request_timeout_s",
            "watch_idle_timeout_s",
            "max_in_flight",
            "max_request_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from `FLORIN_…` variables; what is not there has its default.

        Raises:
            ValueError: A variable does not say what it should.
        """

        def get(name: str, default: object) -> str:
            return environ.get(f"FLORIN_{name}") or str(default)

        otlp = get("OTLP_ENDPOINT", "")
        health_port_step = int(get("HEALTH_PORT_STEP", HEALTH_PORT_STEP))
        return cls(
            data_dir=Path(get("DATA_DIR", ".florin")).absolute(),
            bind_host=get("BIND_HOST", "127.0.0.1"),
            edge_port=int(get("EDGE_PORT", 8080)),
            admin_port=int(get("ENVOY_ADMIN_PORT", 9901)),
            upstreams={
                process: (
                    _on_this_machine(
                        int(get(f"{ROSTER[process].name.upper()}_PORT", port)), health_port_step
                    ),
                )
                for process, port in ROSTER.processes.items()
            },
            otlp=Endpoint.parse(otlp) if otlp else None,
            trace_sample_ratio=float(get("TRACE_SAMPLE_RATIO", 1.0)),
            access_log_ratio=float(get("ACCESS_LOG_RATIO", 1.0)),
            max_in_flight=int(get("MAX_IN_FLIGHT", 1024)),
            cors_origins=tuple(filter(None, get("CORS_ORIGINS", "").split(","))),
        )

    @property
    def envoy_dir(self) -> Path:
        """Where the configuration is written to."""
        return self.data_dir / "envoy"

    @property
    def descriptor_path(self) -> Path:
        """The compiled protos that Envoy transcodes by."""
        return self.envoy_dir / "florin.pb"

    @property
    def config_path(self) -> Path:
        """The configuration Envoy is started with."""
        return self.envoy_dir / "envoy.yaml"

    @property
    def endpoints_dir(self) -> Path:
        """Where Envoy looks for the replicas of services, all the time."""
        return self.envoy_dir / "endpoints"

    def endpoints_path(self, process: str) -> Path:
        """The replicas of one process."""
        return self.endpoints_dir / f"{process}.json"

    @property
    def access_log_path(self) -> Path:
        """One JSON object per request."""
        return self.data_dir / "logs" / "envoy-access.log"

    @property
    def jwks(self) -> Path:
        """The public keys, wherever they are."""
        return self.jwks_path or self.data_dir / "keys" / "jwks.json"
