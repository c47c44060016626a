"""What the notification service does by itself, and how often."""

from __future__ import annotations

from typing import Final

from kit.values.schedule import Schedule

# How soon retries, and what a dead process has left, are noticed. New deliveries do not wait for it.
CLAIM_DUE: Final = Schedule("deliveries.claim", every_s=1.0)
