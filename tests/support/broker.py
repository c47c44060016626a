"""NATS from its operator's side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.js import JetStreamContext

from runner.testing import System


@asynccontextmanager
async def jetstream(system: System) -> AsyncIterator[JetStreamContext]:
    """The broker as its operator sees it."""
    client = await nats.connect(f"nats://127.0.0.1:{system.settings.nats_port}", connect_timeout=5)
    try:
        yield client.jetstream()
    finally:
        await client.close()
