"""What the ledger service is told by its environment."""

from __future__ import annotations

from pydantic import Field

from kit.runtime.settings import ContextSettings


class Settings(ContextSettings):
    """Settings of the ledger service."""

    # How long calls gather before they are posted in one commit.
    posting_linger_ms: int = Field(default=3, ge=0, le=100)
    # How often the books are closed up to the safe horizon: an edit of a younger row has no seal to break.
    closing_interval_s: float = Field(default=5.0, gt=0, le=60)
