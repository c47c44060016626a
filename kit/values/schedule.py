"""What a context does by itself, and how often: named, so that a reader finds all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

# For work that may be late for days: no process is kept from its other work for it.
WHENEVER: Final = math.inf


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work that is done again and again.

    Attributes:
        name: `noun.verb`, for logs.
        every_s: pause between the end of one turn and the begin of the next.
        within_s: how long a turn may take; the process of one that takes longer is not doing its work. What
            may wait has `WHENEVER`.
    """

    name: str
    every_s: float
    within_s: float = 3.0
