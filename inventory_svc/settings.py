"""What the inventory service is told by its environment."""

from __future__ import annotations

from kit.runtime.settings import ContextSettings


class Settings(ContextSettings):
    """Settings of the inventory service."""
