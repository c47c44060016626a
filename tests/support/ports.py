"""Ports that no other test on this machine uses at the same time."""

from __future__ import annotations

from florin_cli.runner.port_block import port_block, system_settings

__all__ = ["port_block", "system_settings"]
