"""Where everything is: ports, data, and stores of your own instead of the bundled ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, create_model, field_validator
from pydantic_settings import SettingsConfigDict

from kit.runtime.settings import HEALTH_PORT_STEP, BusSettings
from roster import ROSTER

Port = Annotated[int, Field(ge=1, le=65535)]
# More than one machine can feed, and few enough that their ports stay apart from all others.
MAX_REPLICAS: Final = 8
Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]


if TYPE_CHECKING:
    _OfProcesses = BusSettings
else:
    # Two fields for each process of the roster: its port, and how many replicas it has.
    _OfProcesses = create_model(
        "_OfProcesses",
        __base__=BusSettings,
        **{
            f"{ROSTER[process].name}_port": (Port, Field(port, description="Where it listens."))
            for process, port in ROSTER.processes.items()
        },
        **{
            f"replicas_{ROSTER[process].name}": (
                Replicas,
                Field(1, description="How many processes share its work at first."),
            )
            for process in ROSTER.processes
        },
    )


def checkout_root() -> Path:
    """The checkout this code runs from, or the current folder when it is installed elsewhere.

    The data directory and the working directory of every process hang on it, so that `florin`
    means the same system from whichever folder it is called.
    """
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


class Settings(_OfProcesses):
    """Everything the runner can be told, each field as an environment variable `FLORIN_<FIELD>`.

    Two systems run side by side when their data directories and ports differ.
    """

    model_config = SettingsConfigDict(env_prefix="FLORIN_", frozen=True, env_ignore_empty=True)

    # Everything a system keeps: databases, keys, logs, e-mails. `.florin` in the checkout by default.
    data_dir: Path = Field(default_factory=lambda: checkout_root() / ".florin")
    # Address that everything listens on; Envoy's admin page never leaves the machine.
    bind_host: str = "127.0.0.1"

    # Where REST, gRPC and gRPC-Web callers connect to.
    edge_port: Port = 8080
    # Where each of the others listens.
    envoy_admin_port: Port = 9901
    psp_sim_port: Port = 12111
    postgres_port: Port = 54329
    nats_port: Port = 42229
    redis_port: Port = 63799

    # Service ports are 1 apart by default, so replicas step over all of them: `order_svc-2`
    # listens on 50151.
    replica_port_step: Annotated[int, Field(ge=1)] = 100

    # Each service process tells whether it does its work at the port this far above its own.
    health_port_step: Annotated[int, Field(ge=1)] = HEALTH_PORT_STEP

    # Folder with a `postgres` and `initdb` of your own in place of the bundled ones.
    postgres_bin: Path | None = None
    # A program of your own in place of the bundled one.
    nats_bin: Path | None = None
    redis_bin: Path | None = None
    envoy_bin: Path | None = None
    # Address of a server that runs already: it is used and watched, but neither started nor stopped. Several
    # hosts, separated by commas, are a primary and its standbys.
    postgres_url: str | None = None
    # Where the services connect to in place of it: a PgBouncer that pools transactions, `host:port`.
    pgbouncer: str | None = None
    # Address of a server that runs already, or of several of a cluster, separated by commas.
    nats_url: str | None = None
    # Address of a server that runs already.
    redis_url: str | None = None

    # Folder that e-mails land in when no SMTP server is set; `mailbox` in the data by default.
    mailbox_dir: Path | None = None
    # Mail server, `smtp://user:password@host:587` or `smtps://…`; without one the mailbox folder is used.
    smtp_url: str = ""
    # Collector that takes spans by OTLP over gRPC; without one nothing is traced.
    otlp_endpoint: str = ""
    # Share of the requests without a trace of their own that is traced.
    trace_sample_ratio: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    # How the services write their logs.
    log_format: Literal["json", "console"] = "json"

    @field_validator("data_dir", "mailbox_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Processes are started in another folder than the one the user typed the path in.
        return None if path is None else path.expanduser().absolute()

    @property
    def logs_dir(self) -> Path:
        """One log file for each process."""
        return self.data_dir / "logs"

    @property
    def run_dir(self) -> Path:
        """What only matters while the system runs: lock, state, generated configuration."""
        return self.data_dir / "run"

    @property
    def keys_dir(self) -> Path:
        """The key pair that signs and checks callers' tokens."""
        return self.data_dir / "keys"

    @property
    def mailbox(self) -> Path:
        """The folder e-mails land in when no SMTP server is set."""
        return self.mailbox_dir or self.data_dir / "mailbox"

    @property
    def local_host(self) -> str:
        """The host at which this machine reaches what is bound to `bind_host`."""
        return "127.0.0.1" if self.bind_host in {"0.0.0.0", "::"} else self.bind_host  # noqa: S104

    def health_port(self, port: int) -> int:
        """Where the process that serves at `port` is asked for its health."""
        return port + self.health_port_step

    def replicas(self, process: str) -> int:
        """How many replicas a process begins with; `florin scale` changes it while the system runs."""
        count: int = getattr(self, f"replicas_{ROSTER[process].name}")
        return count

    def service_ports(self, process: str, replicas: int | None = None) -> tuple[int, ...]:
        """The gRPC port of so many replicas of a process, or of those it begins with, in their order."""
        first: int = getattr(self, f"{ROSTER[process].name}_port")
        count = self.replicas(process) if replicas is None else replicas
        return tuple(first + index * self.replica_port_step for index in range(count))
