"""What ties the steps of one checkout together: a correlation id and a place in a trace."""

from __future__ import annotations

from dataclasses import dataclass


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
        return self.traceparent.endswith("1")

    @property
    def trace_id(self) -> str:
        """The trace id, 32 hexadecimal digits; empty if there is no trace."""
        return self.traceparent[3:35]
