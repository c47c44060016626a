"""What the inventory service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the inventory service."""

    # Port of the gRPC server.
    port: int = Field(default=50052, ge=0, le=65_535, validation_alias="FLORIN_INVENTORY_PORT")
