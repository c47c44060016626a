"""What ties the steps of one checkout together: a correlation id and a place in a trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# W3C trace-context, §3.2: version, trace id, parent id and flags; neither id may be all zeros.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)


def traceparent_of(text: str) -> str:
    """Return a `traceparent` that came from outside; nothing if it is none."""
    return text if _TRACEPARENT.fullmatch(text) else ""


@dataclass(frozen=True, slots=True)
class Trail:
    """The correlation id and W3C `traceparent` that a step hands to the next.

    Both are plain text, so they can be stored in a row and picked up hours later, by a webhook or a
    sweeper, as part of the same trace.
    """

    correlation_id: str
    traceparent: str = ""

    @property
    def sampled(self) -> bool:
        """Whether spans of this trail are recorded (W3C trace-context, the last bit of the flags)."""
        return self.traceparent[-1:] in {"1", "3", "5", "7", "9", "b", "d", "f"}

    @property
    def trace_id(self) -> str:
        """The trace id, 32 hexadecimal digits; empty if there is no trace."""
        # What was stored before it was looked at at the door may be no traceparent.
        return traceparent_of(self.traceparent)[3:35]
