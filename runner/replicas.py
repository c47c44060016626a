"""How many replicas of each process there should be: as the settings say, until `florin scale` says another.

A number is a file, which the supervisor looks at about once a second; it begins without any.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from roster import ROSTER
from runner.settings import MAX_REPLICAS, Settings


def wanted(settings: Settings, process: str) -> int:
    """How many replicas of a process there should be now."""
    with suppress(OSError, ValueError):
        count = int(_file(settings, process).read_text())
        if 1 <= count <= MAX_REPLICAS:
            return count
    return settings.replicas(process)


def want(settings: Settings, counts: Mapping[str, int]) -> None:
    """Asks the supervisor for so many replicas of each of these processes."""
    for process, count in counts.items():
        file = _file(settings, process)
        file.parent.mkdir(exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(str(count))
        draft.replace(file)


def forget(settings: Settings) -> None:
    """Lets the settings' numbers count again."""
    for process in ROSTER.processes:
        _file(settings, process).unlink(missing_ok=True)


def names(settings: Settings, process: str) -> list[str]:
    """What the replicas of a process are called: `order_svc`, `order_svc-2`, …"""
    return [name(process, index) for index in range(wanted(settings, process))]


def name(process: str, index: int) -> str:
    """What one replica is called; the first has the name of its process."""
    return process if index == 0 else f"{process}-{index + 1}"


def ports(settings: Settings, process: str) -> tuple[int, ...]:
    """The gRPC port of each replica of a process, the first one's first."""
    return settings.service_ports(process, wanted(settings, process))


def process_of(replica: str) -> str:
    """The process that a replica is one of."""
    return replica.partition("-")[0]


def of(process: str, known: Collection[str]) -> list[str]:
    """Those of the names that are replicas of a process."""
    return [each for each in known if process_of(each) == process]


def _file(settings: Settings, process: str) -> Path:
    return settings.run_dir / "replicas" / process
