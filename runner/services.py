"""The processes that host the contexts, their migrations and the PSP simulator."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from kit.runtime.roster import Context
from roster import ROSTER
from runner import databases, health, migrations, nats, postgres, redis, replicas
from runner.secrets import Secrets
from runner.settings import MAX_REPLICAS, Settings
from runner.spec import Node, ProcessSpec, Setup

PSP_SIM: Final = "psp_sim"

# A process says that it goes, serves for a pause, finishes its batches and closes its pools in this time.
_STOP_GRACE_S: Final = 20.0

# Of the runner's own settings, these hold the keys to everything; no service may see them.
_RUNNER_ONLY: Final = frozenset({"FLORIN_POSTGRES_URL"})


def databases_setup(settings: Settings, secrets: Secrets) -> Setup:
    """Makes what the migrations and the services connect to."""

    async def run() -> None:
        await databases.ensure(settings, secrets)

    return Setup(name=databases.SETUP, run=run, needs=(postgres.NAME,))


def psp_sim_spec(settings: Settings, secrets: Secrets, *, cwd: Path) -> ProcessSpec:
    """The payment service provider that needs no account."""
    return ProcessSpec(
        name=PSP_SIM,
        command=_module(PSP_SIM),
        check=health.http(settings.local_host, settings.psp_sim_port, "/_sim/health"),
        port=settings.psp_sim_port,
        env=_common_environment(settings, secrets) | _psp_environment(secrets),
        log_path=settings.logs_dir / f"{PSP_SIM}.log",
        cwd=cwd,
        stop_grace_s=_STOP_GRACE_S,
    )


def service_nodes(settings: Settings, secrets: Secrets, *, cwd: Path) -> list[Node]:
    """Each process's migrations and every one of its replicas."""
    nodes: list[Node] = []
    for process in ROSTER.processes:
        env = _environment_of(settings, secrets, process)
        nodes.append(migrations.setup(settings, secrets, process, env=env, cwd=cwd))
        nodes.extend(replica_specs(settings, secrets, process, cwd=cwd))
    return nodes


def replica_specs(settings: Settings, secrets: Secrets, process: str, *, cwd: Path) -> list[ProcessSpec]:
    """As many replicas of a process as there should be now: alike but for name, log and port."""
    env = _environment_of(settings, secrets, process) | databases.addresses(settings, secrets, process)
    psp = (PSP_SIM,) if _calls_psp(process) else ()
    return [
        ProcessSpec(
            name=name,
            command=_module(process, "serve"),
            check=health.service(settings.local_host, settings.health_port(port)),
            port=port,
            env=env | {f"FLORIN_{ROSTER[process].name.upper()}_PORT": str(port)},
            needs=(migrations.setup_name(process), nats.NAME, redis.NAME, *psp),
            log_path=settings.logs_dir / f"{name}.log",
            cwd=cwd,
            replica_of=process,
            stop_grace_s=_STOP_GRACE_S,
            down_signal=signal.SIGINT,
        )
        for name, port in zip(
            replicas.names(settings, process), replicas.ports(settings, process), strict=True
        )
    ]


def _common_environment(settings: Settings, secrets: Secrets) -> dict[str, str]:
    host = settings.local_host
    given = {name: value for name, value in os.environ.items() if name not in _RUNNER_ONLY}
    ports = {
        f"FLORIN_{field.upper()}": str(getattr(settings, field))
        for field in type(settings).model_fields
        if field.endswith("_port")
    }
    return (
        given
        | ports
        | {
            "PYTHONUNBUFFERED": "1",
            "FLORIN_DATA_DIR": str(settings.data_dir),
            "FLORIN_BIND_HOST": settings.bind_host,
            "FLORIN_HEALTH_PORT_STEP": str(settings.health_port_step),
            "FLORIN_NATS_URL": nats.url(settings),
            "FLORIN_DATABASE_POOLED": str(settings.pgbouncer is not None),
            "FLORIN_REDIS_URL": redis.url(settings),
            "FLORIN_PSP_BASE_URL": f"http://{host}:{settings.psp_sim_port}",
            "FLORIN_PAGE_TOKEN_KEY": secrets.page_token_key,
            "FLORIN_MAILBOX_DIR": str(settings.mailbox),
            "FLORIN_SMTP_URL": settings.smtp_url,
            "FLORIN_OTLP_ENDPOINT": settings.otlp_endpoint,
            "FLORIN_TRACE_SAMPLE_RATIO": str(settings.trace_sample_ratio),
            "FLORIN_LOG_FORMAT": settings.log_format,
        }
    )


def _environment_of(settings: Settings, secrets: Secrets, process: str) -> dict[str, str]:
    psp = _psp_environment(secrets) if _calls_psp(process) else {}
    called = {package for context in ROSTER.hosted_by(process) for package in context.calls}
    targets = {_target_setting(ROSTER[package]): _target(settings, ROSTER[package]) for package in called}
    return _common_environment(settings, secrets) | psp | targets


def _target_setting(context: Context) -> str:
    return f"FLORIN_{context.name.upper()}_TARGET"


def _target(settings: Settings, context: Context) -> str:
    """Every address at which a replica may be: gRPC takes the first that answers, until that one goes."""
    host = socket.getaddrinfo(settings.local_host, None)[0][4][0]
    family, host = ("ipv6", f"[{host}]") if ":" in str(host) else ("ipv4", host)
    ports = settings.service_ports(context.process, MAX_REPLICAS)
    return f"{family}:" + ",".join(f"{host}:{port}" for port in ports)


def _calls_psp(process: str) -> bool:
    """Whether a process is given the keys to the PSP; no other has them."""
    return any(context.calls_psp for context in ROSTER.hosted_by(process))


def _psp_environment(secrets: Secrets) -> dict[str, str]:
    return {
        "FLORIN_PSP_API_KEY": secrets.psp_api_key,
        "FLORIN_PSP_WEBHOOK_SECRET": secrets.psp_webhook_secret,
    }


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
