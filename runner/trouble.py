"""Why a system cannot come up, on its way from the supervisor to the screen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """The parts that an error on the screen has."""

    message: str
    way_out: str = ""
    detail: str = ""
