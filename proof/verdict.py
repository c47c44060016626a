"""What a proof says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

# Enough to begin an investigation with, few enough to read.
MAX_NAMED: Final = 5

State = Mapping[str, Any]
"""What a check remembers of how far it has proven, as JSON; empty: nothing yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has seen.

    Attributes:
        looked_at: what was there, for people: `120 journals, 720 entries`.
        problems: by the id of what is wrong. What has the same id at a second look is still wrong.
        state: how far all is proven if nothing is wrong; None if the check remembers nothing.
    """

    looked_at: str
    problems: Mapping[str, str] = field(default_factory=dict)
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on one promise.

    Attributes:
        ms: how long the look took, its second one included. Checks look at the same time, so they add up to
            more than the proof.
    """

    name: str
    ok: bool
    detail: str
    ms: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict on all of them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise holds."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The answer of `florin prove --json`."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def verdict(name: str, looked_at: str, problems: Sequence[str]) -> Check:
    """The verdict when these problems are left."""
    if not problems:
        return Check(name, ok=True, detail=looked_at)
    named = "; ".join(problems[:MAX_NAMED])
    more = f"; and {len(problems) - MAX_NAMED:,} more" if len(problems) > MAX_NAMED else ""
    return Check(name, ok=False, detail=f"{len(problems):,} of {looked_at}: {named}{more}")
