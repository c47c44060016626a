"""Who listens where, so that a start can refuse with a name instead of failing in a log."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import psutil

from roster import ROSTER
from runner.settings import Settings

# On the own machine a connection is accepted or refused at once.
_ANSWER_DEADLINE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a port of ours is for, and the setting that moves it."""

    by: str
    variable: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A port of ours that somebody else has."""

    port: int
    wanted_by: str
    variable: str
    # False for the near end of somebody's outgoing connection. Kernels pick those from a range
    # that holds most of our ports, so it happens; it ends when the connection does.
    listens: bool
    # Unknown where the kernel does not tell an ordinary user about others' sockets.
    holder: str | None
    holder_pid: int | None

    def __str__(self) -> str:
        who = f"{self.holder} (pid {self.holder_pid})" if self.holder else "another program"
        how = "" if self.listens else ", for an outgoing connection"
        return f"port {self.port}, wanted by {self.wanted_by}, is used by {who}{how}"


def wanted(settings: Settings, *, only: Collection[str] | None = None) -> dict[int, Wanted]:
    """Every port that our own programs will listen on, or those of the programs in `only`."""
    found = {
        settings.edge_port: Wanted("envoy", "FLORIN_EDGE_PORT"),
        settings.envoy_admin_port: Wanted("envoy", "FLORIN_ENVOY_ADMIN_PORT"),
        settings.psp_sim_port: Wanted("psp_sim", "FLORIN_PSP_SIM_PORT"),
    }
    for store in ("postgres", "nats", "redis"):
        if getattr(settings, f"{store}_url") is None:
            port: int = getattr(settings, f"{store}_port")
            found[port] = Wanted(store, f"FLORIN_{store.upper()}_PORT")
    for process in ROSTER.processes:
        variable = f"FLORIN_{ROSTER[process].name.upper()}_PORT"
        for port in settings.service_ports(process):
            found[port] = Wanted(process, variable)
            found[settings.health_port(port)] = Wanted(process, "FLORIN_HEALTH_PORT_STEP")
    return {port: each for port, each in found.items() if only is None or each.by in only}


def taken(wanted: Mapping[int, Wanted], *, host: str) -> list[Taken]:
    """Those of the `wanted` ports that cannot be had."""
    busy = sorted(port for port in wanted if not _is_free(host, port))
    listeners, others = _holders() if busy else ({}, {})
    return [
        Taken(
            port,
            wanted[port].by,
            wanted[port].variable,
            _answers(host, port),
            *(listeners.get(port) or others.get(port) or (None, None)),
        )
        for port in busy
    ]


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # As servers do, so that a connection in TIME_WAIT does not count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _answers(host: str, port: int) -> bool:
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_DEADLINE_S)
        try:
            probe.connect((host, port))
        except ConnectionRefusedError:
            return False
        except OSError:
            # It neither refuses nor accepts; whatever it is, it is not just a client.
            return True
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _holders() -> tuple[dict[int, tuple[str, int]], dict[int, tuple[str, int]]]:
    """Who has which port: those who listen, and those who only connect from it."""
    listeners: dict[int, tuple[str, int]] = {}
    others: dict[int, tuple[str, int]] = {}
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return listeners, others
    for connection in connections:
        if connection.pid is None:
            continue
        found = listeners if connection.status == psutil.CONN_LISTEN else others
        try:
            found[connection.laddr.port] = psutil.Process(connection.pid).name(), connection.pid
        except psutil.Error:
            continue
    return listeners, others
