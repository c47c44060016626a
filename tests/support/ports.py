"""Ports that no other test on this machine uses at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.port_blocks import port_block, settings_in
from runner.settings import Settings

__all__ = ["port_block", "system_settings"]


@contextmanager
def system_settings(data_dir: Path, **more: Any) -> Iterator[Settings]:
    """Settings of a whole system in `data_dir`, on ports that are ours until the end."""
    with port_block() as block:
        values: dict[str, Any] = settings_in(block) | {"data_dir": data_dir} | more
        yield Settings(**values)
