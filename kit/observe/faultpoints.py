"""Named places where a test may end the process, exactly between two steps. Inert unless switched on.

`FLORIN_FAULTPOINT=payment_svc.after_charge:3` ends the process with SIGKILL the third time it passes that
point.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_armed, _, _count = os.environ.get("FLORIN_FAULTPOINT", "").partition(":")
_passed: Counter[str] = Counter()


def passing(point: str) -> None:
    """Mark that execution passes `point`; does not return if that point is armed and its count is reached."""
    if point != _armed:
        return
    _passed[point] += 1
    if _passed[point] == int(_count or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
