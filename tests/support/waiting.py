"""Waiting for a condition in place of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

_LOOK_S = 0.01


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    *,
    deadline_s: float = 60.0,
    seen: Callable[[], object] = lambda: "",
) -> None:
    """Return once `condition` holds; fail with `what`, and what was `seen`, if it does not in time."""
    deadline = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what} {seen()}".rstrip()
        await asyncio.sleep(_LOOK_S)
